"""The fast path's work: runs of segments that share device tables, each worked on at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.points import OuterNorm
from adapter_runtime.backbone.routing import CountedPrefix, Groups, ModuleWork, Prefix
from adapter_runtime.engine.evaluate import after_module, before_module, sublayer
from adapter_runtime.engine.trees import Node, units
from adapter_runtime.methods.base import Applied, Entry


@dataclass(frozen=True, slots=True)
class TableUnit:
    """What one adapter of each segment of a run does at a point, by one device table.

    Args:
        table: of the method's kind of point.
        groups: the run's segments with their rows in the table.
    """

    table: Any
    groups: Groups

    def before(self, x: Tensor) -> Tensor:
        """The module's input."""
        return cast(Tensor, self.table.before(self.groups, x))

    def step(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """One link of a module's chain."""
        return cast(Tensor, self.table.step(self.groups, x, hidden))

    def enter(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """What a sublayer's block reads."""
        return cast(Entry, self.table.enter(self.groups, h, residual, norm))

    def apply(self, entry: Entry) -> Applied:
        """A sublayer's block."""
        return cast(Applied, self.table.apply(self.groups, entry))

    def mix(self, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """What a fusion layer makes of its children."""
        return cast(Tensor, self.table.mix(self.groups, entry, ups))

    def prefixes(self, x: Tensor) -> Sequence[Prefix]:
        """Keys and values before those of each row."""
        return cast(Sequence[Prefix], self.table.prefixes(self.groups, x))


class ModuleTableUnit(TableUnit):
    """A unit at a module point."""

    __slots__ = ()

    def finish(self, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The module's output after the chain; may write into y."""
        return cast(Tensor, self.table.finish(self.groups, y, hidden))

    def alone(self, x: Tensor, y: Tensor, base: nn.Module) -> Tensor:
        """The module's output where it is the whole chain; may write into y."""
        return cast(Tensor, self.table.alone(self.groups, x, y))


class SublayerTableUnit(TableUnit):
    """A unit at a sublayer point."""

    __slots__ = ()

    def finish(self, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor) -> Tensor:
        """The sublayer's output by the rule of this table's flags."""
        return cast(Tensor, self.table.finish(self.groups, h, residual, norm, start))

    def close(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """The sublayer's output where it is the whole chain; may write into h."""
        return cast(Tensor, self.table.close(self.groups, h, residual, norm))


@dataclass(frozen=True, slots=True)
class ModuleRun:
    """Segments with equal tables at a module point: nodes applied one after another."""

    start: int
    stop: int
    nodes: tuple[Node[ModuleTableUnit], ...]

    def before(self, x: Tensor) -> Tensor:
        """The module's input for the run's tokens; x itself when nothing scales it."""
        return before_module(self.nodes, x)

    def after(self, x: Tensor, y: Tensor, base: nn.Module) -> Tensor:
        """The module's output for the run's tokens; may write into y."""
        return after_module(self.nodes, x, y, base)


@dataclass(frozen=True, slots=True)
class ModuleRuns:
    """The work at a module point: its runs; tokens outside them pass as they are."""

    runs: tuple[ModuleRun, ...]

    def __call__(self, base: nn.Module, x: Tensor) -> Tensor:
        """The module's output. Shape: `[tokens, in]` to `[tokens, out]`."""
        inputs = self._inputs(x)
        if inputs is not None:
            x = torch.cat(inputs)
        y: Tensor = base(x)
        for run in self.runs:
            span = y[run.start : run.stop]
            out = run.after(x[run.start : run.stop], span, base)
            if out is not span:
                span.copy_(out)
        return y

    def _inputs(self, x: Tensor) -> list[Tensor] | None:
        """The input in pieces where a run changes it, None where all leave it alone."""
        pieces, done, is_changed = [], 0, False
        for run in self.runs:
            span = x[run.start : run.stop]
            changed = run.before(span)
            is_changed |= changed is not span
            pieces += [x[done : run.start], changed]
            done = run.stop
        return [*pieces, x[done:]] if is_changed else None


class SpanNorm(nn.Module):
    """A sublayer's LayerNorm with the Parts that apply to one span of the stream."""

    def __init__(self, base: nn.Module, work: ModuleWork) -> None:
        super().__init__()
        self.base = base
        self.work = work

    def forward(self, x: Tensor) -> Tensor:
        """The norm of the span's tokens. Shape: `[tokens, width]`."""
        return self.work(self.base, x)


@dataclass(frozen=True, slots=True)
class SublayerRun:
    """Segments with equal tables at a sublayer point; no node means the plain sum and norm."""

    start: int
    stop: int
    node: Node[SublayerTableUnit] | None
    norm_work: ModuleWork | None

    def __call__(self, h: Tensor, residual: Tensor, base: nn.Module) -> Tensor:
        """The sublayer's output for the run's tokens. Shape: `[tokens, width]` each."""
        norm = base if self.norm_work is None else SpanNorm(base, self.norm_work)
        if self.node is None:
            # A hooked model closes the sublayer itself.
            return h if isinstance(base, OuterNorm) else cast(Tensor, norm(h + residual))
        return sublayer(self.node, h, residual, norm)


@dataclass(frozen=True, slots=True)
class SublayerRuns:
    """The work at a sublayer point: runs that cover the stream."""

    runs: tuple[SublayerRun, ...]

    def __call__(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """The sublayer's output. Shape: `[tokens, width]` each."""
        parts = [
            run(h[run.start : run.stop], residual[run.start : run.stop], norm) for run in self.runs
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True, slots=True)
class AttentionRun:
    """Segments with equal tables at an attention point: rows `first:stop` and their tokens."""

    first: int
    stop: int
    start: int
    end: int
    node: Node[TableUnit]

    def __call__(self, x: Tensor) -> list[Prefix]:
        """The run's prefixes, row by row; those of several adapters stand side by side."""
        span = x[self.start : self.end]
        found = [unit.prefixes(span) for unit in units(self.node)]
        return [join_prefixes(each) for each in zip(*found, strict=True)]


@dataclass(frozen=True, slots=True)
class AttentionRuns:
    """The work at an attention point; rows outside its runs have no prefix."""

    runs: tuple[AttentionRun, ...]
    num_rows: int

    def __call__(self, x: Tensor) -> list[Prefix | None]:
        """One prefix for each row. Shape: `[tokens, width]`."""
        prefixes: list[Prefix | None] = [None] * self.num_rows
        for run in self.runs:
            prefixes[run.first : run.stop] = run(x)
        return prefixes


def join_prefixes(prefixes: Sequence[Prefix]) -> Prefix:
    """The prefixes of one row's adapters as one."""
    if len(prefixes) == 1:
        return prefixes[0]
    # The library puts each before those of the adapter before, which counts where keys have places.
    keys, values = zip(*reversed(prefixes), strict=True)
    joined = torch.cat(keys, 1), torch.cat(values, 1)
    return CountedPrefix(*joined) if isinstance(prefixes[0], CountedPrefix) else joined
