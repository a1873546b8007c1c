"""The reference path: a plain loop over segments with each method's own equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.points import OuterNorm
from adapter_runtime.backbone.routing import Prefix, Work
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.evaluate import after_module, before_module, sublayer
from adapter_runtime.engine.forking import first_layer
from adapter_runtime.engine.route import Segment, cut_segments, norm_of
from adapter_runtime.engine.runs import join_prefixes
from adapter_runtime.engine.trees import Node, join, nodes_at, units
from adapter_runtime.methods.base import Applied, Entry
from adapter_runtime.types import (
    ATTENTION_SITES,
    SUBLAYER_SITES,
    Adapter,
    Composition,
    Part,
    PlugPoint,
    leaves,
)


class ReferenceRouter:
    """Routes to the methods' reference functions; differentiable, and never writes in place.

    Args:
        adapters: finds an adapter by digest.
        methods: the method table.
    """

    def __init__(self, adapters: Callable[[str], Adapter], methods: Mapping[str, Any]) -> None:
        self._adapters = adapters
        self._methods = methods

    def order(self, composition: Composition | None) -> tuple[int, ...]:
        """No order is better than another."""
        return ()

    def begin(self, composition: Composition | None) -> int:
        """The lowest layer that a composition changes."""
        return first_layer(
            part.point for leaf in leaves(composition) for part in self._adapters(leaf.ref).parts
        )

    def route(
        self,
        compositions: Sequence[Composition | None],
        spans: RowSpans,
        layers: range | None = None,
    ) -> Work:
        """The work of a stream whose row *i* has composition *i*, of all layers."""
        pieces = [
            _Piece(
                segment,
                tuple(self._adapters(leaf.ref).parts for leaf in leaves(segment.composition)),
                spans.slice(segment.first, segment.stop),
                self._methods,
            )
            for segment in cut_segments(compositions, spans)
        ]
        points = dict.fromkeys(
            part.point for piece in pieces for parts in piece.parts for part in parts
        )
        return {point: _work_of(point)(point, pieces) for point in points}


@dataclass(frozen=True, slots=True)
class _PartUnit:
    """One adapter's Part, bound to its rows."""

    part: Part
    rows: RowSpans
    method: Any

    def before(self, x: Tensor) -> Tensor:
        """The module's input by this Part."""
        return cast(Tensor, self.method.before(self.part, x))

    def step(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """One link of a module's chain."""
        return cast(Tensor, self.method.step(self.part, x, hidden, self.rows))

    def enter(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """What the block reads."""
        return cast(Entry, self.method.enter(self.part, h, residual, norm))

    def apply(self, entry: Entry) -> Applied:
        """The block."""
        return cast(Applied, self.method.apply(self.part, entry, self.rows))

    def mix(self, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """What a fusion layer makes of its children."""
        return cast(Tensor, self.method.mix(self.part, entry, ups))

    def finish(self, *states: Any) -> Tensor:
        """The output after the chain."""
        return cast(Tensor, self.method.finish(self.part, *states))

    def alone(self, x: Tensor, y: Tensor, base: nn.Module) -> Tensor:
        """The module's output by this Part alone."""
        return self.finish(y, self.step(x, None), base)

    def close(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """The sublayer's output by this Part alone."""
        applied = self.apply(self.enter(h, residual, norm))
        return self.finish(applied.h, residual, norm, h)

    def prefixes(self, x: Tensor) -> Sequence[Prefix]:
        """Keys and values before those of each row."""
        return cast(Sequence[Prefix], self.method.prefixes(self.part, x, self.rows))


@dataclass(frozen=True)
class _Piece:
    """One segment and the Parts of its composition's leaves."""

    segment: Segment
    parts: tuple[tuple[Part, ...], ...]
    rows: RowSpans
    methods: Mapping[str, Any]

    def nodes(self, point: PlugPoint) -> tuple[Node[_PartUnit], ...]:
        """The composition's trees at a point, bound to this segment."""
        placed = [[part for part in parts if part.point == point] for parts in self.parts]
        found = nodes_at(point, self.segment.composition, placed, self.methods)
        return tuple(join([node], self._bind) for node in found)

    def _bind(self, parts: Sequence[Part]) -> _PartUnit:
        return _PartUnit(parts[0], self.rows, self.methods[parts[0].method])

    def cut(self, stream: Tensor) -> Tensor:
        """The segment's tokens of a stream."""
        return stream[self.segment.start : self.segment.end]


@dataclass(frozen=True)
class _ReferenceModule:
    point: PlugPoint
    pieces: Sequence[_Piece]

    def __call__(self, base: nn.Module, x: Tensor) -> Tensor:
        return torch.cat([self.apply(piece, base, piece.cut(x)) for piece in self.pieces])

    def apply(self, piece: _Piece, base: nn.Module, x: Tensor) -> Tensor:
        """One segment's share of the work."""
        nodes = piece.nodes(self.point)
        x = before_module(nodes, x)
        return after_module(nodes, x, base(x), base)


@dataclass(frozen=True)
class _ReferenceSublayer:
    point: PlugPoint
    pieces: Sequence[_Piece]

    def __call__(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        return torch.cat(
            [self.apply(piece, piece.cut(h), piece.cut(residual), norm) for piece in self.pieces]
        )

    def apply(self, piece: _Piece, h: Tensor, residual: Tensor, base: nn.Module) -> Tensor:
        """One segment's share of the work."""
        norm = _PieceNorm(_ReferenceModule(norm_of(self.point), ()), piece, base)
        nodes = piece.nodes(self.point)
        if nodes:
            return sublayer(nodes[0], h, residual, norm)
        return h if isinstance(base, OuterNorm) else cast(Tensor, norm(h + residual))


@dataclass(frozen=True)
class _ReferenceAttention:
    point: PlugPoint
    pieces: Sequence[_Piece]

    def __call__(self, x: Tensor) -> list[Prefix | None]:
        return [prefix for piece in self.pieces for prefix in self.apply(piece, piece.cut(x))]

    def apply(self, piece: _Piece, x: Tensor) -> Sequence[Prefix | None]:
        """One segment's share of the work."""
        found = [unit.prefixes(x) for node in piece.nodes(self.point) for unit in units(node)]
        if not found:
            return [None] * len(piece.rows)
        return [join_prefixes(each) for each in zip(*found, strict=True)]


def _work_of(point: PlugPoint) -> type[Any]:
    if point.site in SUBLAYER_SITES:
        return _ReferenceSublayer
    return _ReferenceAttention if point.site in ATTENTION_SITES else _ReferenceModule


class _PieceNorm(nn.Module):
    """A sublayer's LayerNorm with the Parts that one segment has for it."""

    def __init__(self, work: _ReferenceModule, piece: _Piece, base: nn.Module) -> None:
        super().__init__()
        self.work = work
        self.piece = piece
        self.base = base

    def forward(self, x: Tensor) -> Tensor:
        """The norm of the segment's tokens. Shape: `[tokens, width]`."""
        return self.work.apply(self.piece, self.base, x)
