"""What an adapter method is: how it is read, its reference maths, its device table.

A method acts at one kind of point. At *module* points (a linear, a LayerNorm) it sees the
module's input `x` and output `y`; at *sublayer* points it sees the sublayer's output `h`, its
residual input and the LayerNorm. In a Stack the adapters of one point form a chain: every
adapter makes one `step`, and the last one `finish`es, as the `adapters` library composes them.
The `start` of a sublayer chain is the sublayer's own output, before the first step.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import ACT2FN

from adapter_runtime.backbone.routing import Groups, RowSpans
from adapter_runtime.types import Part


class Table(Protocol):
    """Stacked weights of one method at one plug point for one table key; row 0 is the identity."""

    @property
    def num_bytes(self) -> int:
        """Bytes on the device, free rows included."""
        ...

    def put(self, row: int, part: Part) -> None:
        """Write a Part into a row, growing the table when needed. Blocks on the device copy.

        A grown table is a new tensor, so a forward that runs meanwhile keeps reading the old one.
        """
        ...

    def clear(self, row: int) -> None:
        """Make a row the identity again."""
        ...


class ModuleTable(Table, Protocol):
    """A table at a module point: the fast path over segments."""

    def before(self, groups: Groups, x: Tensor) -> Tensor:
        """The module's input, changed where the method scales it; x itself where it does not."""
        ...

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """One link of the chain; `hidden` is the link before, None for the first."""
        ...

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The module's output after the chain; may write into y."""
        ...


class SublayerTable(Table, Protocol):
    """A table at a sublayer point: the fast path over segments."""

    def step(self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """One adapter of the stack: the new h."""
        ...

    def finish(
        self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
    ) -> Tensor:
        """The sublayer's output, by the rule of the last adapter."""
        ...


class ModuleMethod(Protocol):
    """A method at module points. `chain` names what its links hand on: equal chains compose."""

    name: str
    chain: str

    def table_key(self, part: Part) -> Hashable:
        """Parts with equal keys may share a table: flags, shapes and width bucket."""
        ...

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> ModuleTable:
        """An empty table for Parts with this Part's key; `base` is the frozen wrapped module."""
        ...

    def before(self, part: Part, x: Tensor) -> Tensor:
        """Reference of `ModuleTable.before` for one segment."""
        ...

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """Reference of `ModuleTable.step` for one segment; differentiable."""
        ...

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """Reference of `ModuleTable.finish` for one segment; never writes into y."""
        ...


class SublayerMethod(Protocol):
    """A method at sublayer points; all of them share one chain."""

    name: str

    def table_key(self, part: Part) -> Hashable:
        """Parts with equal keys may share a table: flags, shapes and width bucket."""
        ...

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> SublayerTable:
        """An empty table for Parts with this Part's key."""
        ...

    def step(
        self, part: Part, h: Tensor, residual: Tensor, norm: nn.Module, rows: RowSpans
    ) -> Tensor:
        """Reference of `SublayerTable.step` for one segment; differentiable."""
        ...

    def finish(
        self, part: Part, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
    ) -> Tensor:
        """Reference of `SublayerTable.finish` for one segment; never writes into its inputs."""
        ...


def bucket(width: int) -> int:
    """The width that a table pads to: the next power of two, at least 8."""
    return max(8, 1 << (width - 1).bit_length())


def activation(name: str) -> nn.Module:
    """The activation of a configuration's (lower-cased) name, as transformers knows it.

    Raises:
        KeyError: there is none of that name, or it has weights of its own.
    """
    if name == "leakyrelu":
        return nn.LeakyReLU()
    module: nn.Module = ACT2FN[name]
    if next(module.parameters(), None) is not None:
        raise KeyError(name)
    return module.eval()


_ALIGNED_BYTES = 16


def grouped_linear(groups: Groups, x: Tensor, stacked: Tensor) -> Tensor:
    """Each segment times its own matrix.

    Shape: `[tokens, in]` and `[table, in, out]` to `[tokens, out]`.
    """
    if len(groups) == 1:
        return x @ stacked[groups.table_rows[0]]
    weights = groups.select(stacked)
    step = x.element_size()
    # grouped_mm refuses widths that are no multiple of 16 bytes: only tiny test models have them.
    if all(size * step % _ALIGNED_BYTES == 0 for size in weights.shape[1:]):
        return functional.grouped_mm(x, weights, offs=groups.offsets)
    bounds = pairwise((0, *groups.ends))
    return torch.cat([x[a:b] @ weight for (a, b), weight in zip(bounds, weights, strict=True)])


def row_gate(rows: RowSpans, scores: Tensor) -> Tensor:
    """The gate of each token's row: the mean of sigmoid(scores) over the row's real tokens.

    Shape: `[tokens, 1]` to `[tokens, 1]`.
    """
    return rows.mean(scores.sigmoid()).index_select(0, rows.token_rows.to(scores.device))


class Stacked:
    """Stacked rows of one shape that grow by doubling; row 0 stays the identity.

    Args:
        shape: one row's shape.
        device, dtype: of the stack.
        identity: the fill value of empty rows and of padding.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
        identity: float = 0.0,
    ) -> None:
        self.identity = identity
        self.data = torch.full((2, *shape), identity, device=device, dtype=dtype)

    @property
    def num_bytes(self) -> int:
        """Bytes of the stack, free rows included."""
        return self.data.numel() * self.data.element_size()

    def put(self, row: int, value: Tensor) -> None:
        """Write a row, padding trailing widths; grows by replacing the tensor."""
        if row >= len(self.data):
            num_rows = max(row + 1, 2 * len(self.data))
            grown = self.data.new_full((num_rows, *self.data.shape[1:]), self.identity)
            grown[: len(self.data)] = self.data
            self.data = grown
        target = self.data[row]
        target.fill_(self.identity)
        target[tuple(slice(0, size) for size in value.shape)] = value.to(target)

    def clear(self, row: int) -> None:
        """Make a row the identity again."""
        if row < len(self.data):
            self.data[row].fill_(self.identity)


class StackedTable:
    """The stacked tensors of one table, written and cleared together.

    Args:
        shapes: the shape of one row of each stack, by name.
        device, dtype: of the stacks.
        identity: the fill value of empty rows.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        device: torch.device,
        dtype: torch.dtype,
        identity: float = 0.0,
    ) -> None:
        self.stacks = {
            name: Stacked(shape, device, dtype, identity) for name, shape in shapes.items()
        }

    @property
    def num_bytes(self) -> int:
        """Bytes of all stacks, free rows included."""
        return sum(stack.num_bytes for stack in self.stacks.values())

    def __getitem__(self, name: str) -> Tensor:
        return self.stacks[name].data

    def __contains__(self, name: str) -> bool:
        return name in self.stacks

    def write(self, row: int, values: Mapping[str, Tensor]) -> None:
        """Write one row of every stack."""
        for name, stack in self.stacks.items():
            stack.put(row, values[name])

    def clear(self, row: int) -> None:
        """Make a row the identity again."""
        for stack in self.stacks.values():
            stack.clear(row)
