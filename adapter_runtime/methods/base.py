"""What an adapter method is: how it is read, its reference maths, its device table.

A method acts at one kind of point. At *module* points (a linear, a LayerNorm) it sees the
module's input `x` and output `y`; at *sublayer* points it sees the sublayer's output `h`, its
residual input and the LayerNorm. In a Stack the adapters of one point form a chain: every
adapter makes one `step`, and the last one `finish`es, as the `adapters` library composes them.
The `start` of a sublayer chain is the sublayer's own output, before the first step.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import torch
from torch import Tensor, nn

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
