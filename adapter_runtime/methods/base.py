"""What an adapter method is: how it is read, its reference maths, its device table.

A method acts at one kind of point. At *module* points it sees the module's input `x` and output
`y`: of a linear, a LayerNorm, or an embedding table (then `x` are token ids); where states are
changed in passing (embedding output, layer output, before the vocabulary projection) the module
is the identity. At *sublayer* points it sees the sublayer's output `h`, its residual input and
the LayerNorm. At *attention* points it gives keys and values that stand before a row's own.

In a Stack the adapters of one point form a chain. At module points every adapter makes one
`step` and the last one `finish`es; at sublayer points every adapter `enter`s and `apply`s, and
the last one `finish`es, as the `adapters` library composes them. The `start` of a sublayer chain
is the sublayer's own output, before the first adapter. A method that is `first_only` acts where
its adapter is the first of its composition, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.routing import Groups, Prefix
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.types import Part, RowExtension


class Entry(NamedTuple):
    """What a block at a sublayer point reads, and its residual. Shape: `[tokens, width]` each.

    `before` is what it would read without the backbone's norm; `query_before_ln` asks for it.
    """

    z: Tensor
    residual: Tensor
    before: Tensor


class Applied(NamedTuple):
    """A block's output, and its bare up-projection, which fusion layers mix.

    Shape: `[tokens, width]` each.
    """

    h: Tensor
    up: Tensor


class Table(Protocol):
    """Stacked weights of one method at one plug point for one table key; row 0 is the identity."""

    @property
    def num_bytes(self) -> int:
        """Bytes on the device, free rows included."""
        ...

    @property
    def shared_bytes(self) -> int:
        """Of these, what is the host's own memory: the tensors of Parts, as they were put."""
        ...

    def put(self, row: int, part: Part) -> None:
        """Write a Part into a row, growing the table when needed. Blocks on the device copy.

        A grown table is a new tensor, so a forward that runs meanwhile keeps reading the old one.
        """
        ...

    def clear(self, row: int) -> None:
        """Free a row: nobody reads it, and `put` overwrites it whole."""
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

    def alone(self, groups: Groups, x: Tensor, y: Tensor) -> Tensor:
        """`step` and `finish` of a chain of one link; may write into y."""
        ...


class SublayerTable(Table, Protocol):
    """A table at a sublayer point: the fast path over segments."""

    def enter(self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """What the block reads by its own flags."""
        ...

    def apply(self, groups: Groups, entry: Entry) -> Applied:
        """The block."""
        ...

    def finish(
        self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
    ) -> Tensor:
        """The sublayer's output, by the rule of the last adapter."""
        ...

    def close(self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """`enter`, `apply` and `finish` of a chain of one adapter; may write into h."""
        ...


class AttentionTable(Table, Protocol):
    """A table at an attention point."""

    def prefixes(self, groups: Groups, x: Tensor) -> Sequence[Prefix]:
        """Keys and values before those of each row of the groups; x is the attention's input."""
        ...


class AdapterMethod(Protocol):
    """What the methods of all kinds of points have."""

    @property
    def name(self) -> str:
        """A key of `METHODS`."""
        ...

    @property
    def first_only(self) -> bool:
        """Whether it acts for the first adapter of a composition only."""
        ...

    @property
    def transposed(self) -> Sequence[str]:
        """The names of tensors that its tables read transposed."""
        ...

    def extension(self, part: Part) -> RowExtension | None:
        """What the Part adds to every row; None for most methods."""
        ...

    def table_key(self, part: Part) -> Hashable:
        """Parts with equal keys may share a table: flags, shapes and width bucket."""
        ...


class ModuleMethod(AdapterMethod, Protocol):
    """A method at module points."""

    @property
    def chain(self) -> str:
        """Names what its links hand on: the links of equal chains compose."""
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


class SublayerMethod(AdapterMethod, Protocol):
    """A method at sublayer points; all of them share one chain."""

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> SublayerTable:
        """An empty table for Parts with this Part's key."""
        ...

    def enter(self, part: Part, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """Reference of `SublayerTable.enter` for one segment; differentiable."""
        ...

    def apply(self, part: Part, entry: Entry, rows: RowSpans) -> Applied:
        """Reference of `SublayerTable.apply` for one segment; differentiable."""
        ...

    def finish(
        self, part: Part, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
    ) -> Tensor:
        """Reference of `SublayerTable.finish` for one segment; never writes into its inputs."""
        ...


class AttentionMethod(AdapterMethod, Protocol):
    """A method at attention points; every adapter of a composition adds its own prefix."""

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> AttentionTable:
        """An empty table for Parts with this Part's key."""
        ...

    def prefixes(self, part: Part, x: Tensor, rows: RowSpans) -> Sequence[Prefix]:
        """Reference of `AttentionTable.prefixes` for one segment; differentiable."""
        ...


class FusionTable(Table, Protocol):
    """A table of fusion layers at a sublayer point."""

    def mix(self, groups: Groups, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """What is made of the children's up-projections; `entry` is the last child's."""
        ...


class FusionMethod(AdapterMethod, Protocol):
    """A method that mixes others at sublayer points."""

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> FusionTable:
        """An empty table for Parts with this Part's key."""
        ...

    def mix(self, part: Part, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """Reference of `FusionTable.mix` for one segment; differentiable."""
        ...


Method = ModuleMethod | SublayerMethod | AttentionMethod | FusionMethod
"""A row of the method table."""


class CommonMethod:
    """What most methods answer alike: they act wherever their adapter stands, leave rows alone,
    and leave a module's input as it is.
    """

    first_only = False
    transposed: Sequence[str] = ()

    def extension(self, part: Part) -> RowExtension | None:
        """Nothing is added to rows."""
        return None

    def before(self, part: Part, x: Tensor) -> Tensor:
        """The input, unchanged."""
        return x
