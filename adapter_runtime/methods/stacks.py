"""Device tables of stacked weights, and what reads them token by token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.apart import Apart, Rows
from adapter_runtime.types import Part


def bucket(width: int) -> int:
    """The width that a table pads to: the next multiple of 4, beyond 16 of 8."""
    step = 4 if width <= 16 else 8
    return -(-width // step) * step


def factor_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """The dtype of narrow factors on a device whose states have `dtype`.

    A CPU gains nothing from bfloat16 in them: oneDNN spends more on preparing one small product
    than float32 needs for the whole of it. What they add is rounded once, with the stream.
    """
    return torch.float32 if device.type == "cpu" else dtype


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


def embedding_scale(base: nn.Module) -> float:
    """What an embedding table multiplies its vectors by."""
    return float(getattr(base, "embed_scale", None) or 1.0)


def row_gate(rows: RowSpans, scores: Tensor) -> Tensor:
    """The gates of each token's row: the mean of sigmoid(scores) over the row's real tokens.

    Shape: `[tokens, gates]` to `[tokens, gates]`.
    """
    # A sum over hundreds of tokens needs more digits than bfloat16 has.
    means = rows.mean(scores.float().sigmoid()).to(scores.dtype)
    return means.index_select(0, rows.on(scores.device).token_rows)


def gate_scores(groups: Groups, x: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
    """Each segment's gates before the sigmoid.

    Shape: `[tokens, in]`, `[table, gates, in]` and `[table, gates]` to `[tokens, gates]`.
    """
    scores = [(x * groups.per_token(weight)).sum(1) for weight in weights.unbind(1)]
    return torch.stack(scores, 1) + groups.per_token(biases)


def spread(gates: Tensor, width: int) -> Tensor:
    """Gates for every output: each gate rules an equal share of them, side by side.

    Shape: `[tokens, gates]` to `[tokens, width]`, or `[tokens, 1]` where there is one gate.
    """
    num_gates = gates.shape[1]
    return gates if num_gates == 1 else gates.repeat_interleave(width // num_gates, 1)


class Stacked:
    """Stacked rows of one shape that grow in small steps; row 0 stays the identity.

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

    def put(self, row: int, value: Tensor, scale: float = 1.0) -> None:
        """Write a row times a scale, padding trailing widths; grows by replacing the tensor."""
        value = value if scale == 1.0 else value * scale
        if row >= len(self.data):
            self._grow(row)
        target = self.data[row]
        if value.shape == target.shape:
            target.copy_(value)
            return
        target.fill_(self.identity)
        target[tuple(slice(0, size) for size in value.shape)] = value.to(target)

    def _grow(self, row: int) -> None:
        # Free rows take memory; an eighth of them bounds both that and what is copied.
        grown = self.data.new_empty((row + 1 + row // 8, *self.data.shape[1:]))
        grown[: len(self.data)] = self.data
        # Rows are taken in order, so only tests leave some out.
        grown[len(self.data) : row] = self.identity
        self.data = grown


class StackedTable:
    """The stacked tensors of one table, written together.

    Args:
        shapes: the shape of one row of each stack, by name.
        device, dtype: of the stacks.
        identities: the fill value of empty rows where it is not zero, by name.
        apart: what is read by `rows` only; on a CPU these rows share the host's memory.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        device: torch.device,
        dtype: torch.dtype,
        identities: Mapping[str, float] | None = None,
        apart: Collection[str] = (),
    ) -> None:
        fill = identities or {}
        self.stacks: dict[str, Stacked | Apart] = {}
        for name, shape in shapes.items():
            identity = fill.get(name, 0.0)
            is_shared = device.type == "cpu" and name in apart
            self.stacks[name] = (
                Apart(shape, dtype, identity)
                if is_shared
                else Stacked(shape, device, dtype, identity)
            )

    @property
    def num_bytes(self) -> int:
        """Bytes of all stacks, free rows included."""
        return sum(stack.num_bytes for stack in self.stacks.values())

    @property
    def shared_bytes(self) -> int:
        """Of these, what is the host's own memory."""
        found = self.stacks.values()
        return sum(stack.shared_bytes for stack in found if isinstance(stack, Apart))

    def __getitem__(self, name: str) -> Tensor:
        stack = self.stacks[name]
        assert isinstance(stack, Stacked), f"{name} is read by rows only. This is a bug."
        return stack.data

    def rows(self, name: str) -> Rows:
        """A stack for products, and whatever else reads it row by row."""
        stack = self.stacks[name]
        return stack if isinstance(stack, Apart) else stack.data

    def __contains__(self, name: str) -> bool:
        return name in self.stacks

    def write(
        self, row: int, values: Mapping[str, Tensor], scales: Mapping[str, float] | None = None
    ) -> None:
        """Write one row of every stack, times a scale where there is one by its name."""
        factors = scales or {}
        for name, stack in self.stacks.items():
            stack.put(row, values[name], factors.get(name, 1.0))

    def clear(self, row: int) -> None:
        """Let go of what a row shares; the rest is overwritten by whoever comes next."""
        for stack in self.stacks.values():
            if isinstance(stack, Apart):
                stack.clear(row)


class StackedParts:
    """What most device tables have in common: their Parts lie in stacks, under their own names.

    A table sets `_stacks` when it is made.
    """

    _stacks: StackedTable

    @property
    def num_bytes(self) -> int:
        """Bytes on the device, free rows included."""
        return self._stacks.num_bytes

    @property
    def shared_bytes(self) -> int:
        """Of these, what is the host's own memory."""
        return self._stacks.shared_bytes

    def put(self, row: int, part: Part) -> None:
        """Write a Part's tensors into a row."""
        self._stacks.write(row, part.tensors)

    def clear(self, row: int) -> None:
        """Free a row."""
        self._stacks.clear(row)


class StackedModuleParts(StackedParts, ABC):
    """Stacked Parts at a module point."""

    def before(self, groups: Groups, x: Tensor) -> Tensor:
        """The module's input, unchanged."""
        return x

    @abstractmethod
    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """One link of the chain."""

    @abstractmethod
    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The module's output after the chain."""

    def alone(self, groups: Groups, x: Tensor, y: Tensor) -> Tensor:
        """A chain of one link."""
        return self.finish(groups, y, self.step(groups, x, None))
