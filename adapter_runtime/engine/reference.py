"""The reference path: a plain loop over segments with each method's own equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.points import OuterNorm
from adapter_runtime.backbone.routing import Prefix, RowSpans, Work
from adapter_runtime.engine.route import Segment, cut_segments, norm_of
from adapter_runtime.engine.runs import join_prefixes
from adapter_runtime.types import (
    ATTENTION_SITES,
    SUBLAYER_SITES,
    Adapter,
    Composition,
    Part,
    PlugPoint,
    leaves,
)

Chain = tuple[Part, ...]


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

    def route(self, compositions: Sequence[Composition | None], spans: RowSpans) -> Work:
        """The work of a stream whose row *i* has composition *i*."""
        pieces = [
            _Piece(
                segment, self._parts(segment.composition), spans.slice(segment.first, segment.stop)
            )
            for segment in cut_segments(compositions, spans)
        ]
        points = dict.fromkeys(part.point for piece in pieces for part in piece.parts)
        return {point: _work_of(point)(point, pieces, self._methods) for point in points}

    def _parts(self, composition: Composition | None) -> tuple[Part, ...]:
        return tuple(
            part
            for number, leaf in enumerate(leaves(composition))
            for part in self._adapters(leaf.ref).parts
            if number == 0 or not self._methods[part.method].first_only
        )


@dataclass(frozen=True)
class _Piece:
    segment: Segment
    parts: tuple[Part, ...]
    rows: RowSpans

    def at(self, point: PlugPoint) -> Chain:
        return tuple(part for part in self.parts if part.point == point)

    def cut(self, stream: Tensor) -> Tensor:
        return stream[self.segment.start : self.segment.end]


@dataclass(frozen=True)
class _ReferenceModule:
    point: PlugPoint
    pieces: Sequence[_Piece]
    methods: Mapping[str, Any]

    def __call__(self, base: nn.Module, x: Tensor) -> Tensor:
        return torch.cat([self.apply(piece, base, piece.cut(x)) for piece in self.pieces])

    def apply(self, piece: _Piece, base: nn.Module, x: Tensor) -> Tensor:
        chains = self._chains(piece.at(self.point))
        for part in (part for chain in chains for part in chain):
            x = self.methods[part.method].before(part, x)
        y: Tensor = base(x)
        for chain in chains:
            hidden: Tensor | None = None
            for part in chain:
                hidden = self.methods[part.method].step(part, x, hidden, piece.rows)
            last = chain[-1]
            y = self.methods[last.method].finish(last, y, cast(Tensor, hidden), base)
        return y

    def _chains(self, parts: Chain) -> list[list[Part]]:
        # Chains follow the method table, the links of a chain follow the Stack.
        chains: dict[str, list[Part]] = {method.chain: [] for method in self._module_methods()}
        for part in parts:
            chains[self.methods[part.method].chain].append(part)
        return [chain for chain in chains.values() if chain]

    def _module_methods(self) -> list[Any]:
        return [method for method in self.methods.values() if hasattr(method, "chain")]


@dataclass(frozen=True)
class _ReferenceSublayer:
    point: PlugPoint
    pieces: Sequence[_Piece]
    methods: Mapping[str, Any]

    def __call__(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        return torch.cat(
            [self.apply(piece, piece.cut(h), piece.cut(residual), norm) for piece in self.pieces]
        )

    def apply(self, piece: _Piece, h: Tensor, residual: Tensor, base: nn.Module) -> Tensor:
        norm = _PieceNorm(_ReferenceModule(norm_of(self.point), (), self.methods), piece, base)
        parts = piece.at(self.point)
        if not parts:
            return h if isinstance(base, OuterNorm) else cast(Tensor, norm(h + residual))
        start = h
        for part in parts:
            method = self.methods[part.method]
            h = method.apply(part, method.enter(part, h, residual, norm), piece.rows).h
        finish = self.methods[parts[-1].method].finish
        return cast(Tensor, finish(parts[-1], h, residual, norm, start))


@dataclass(frozen=True)
class _ReferenceAttention:
    point: PlugPoint
    pieces: Sequence[_Piece]
    methods: Mapping[str, Any]

    def __call__(self, x: Tensor) -> list[Prefix | None]:
        return [prefix for piece in self.pieces for prefix in self.apply(piece, piece.cut(x))]

    def apply(self, piece: _Piece, x: Tensor) -> Sequence[Prefix | None]:
        found = [
            self.methods[part.method].prefixes(part, x, piece.rows) for part in piece.at(self.point)
        ]
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
