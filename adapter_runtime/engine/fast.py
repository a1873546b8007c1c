"""The fast path: what shares device tables stands together and is worked on together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch

from adapter_runtime.backbone.routing import Groups, RowSpans, Work
from adapter_runtime.engine.route import Segment, cut_segments, norm_of
from adapter_runtime.engine.runs import (
    AttentionRun,
    AttentionRuns,
    ModuleRun,
    ModuleRuns,
    SublayerRun,
    SublayerRuns,
)
from adapter_runtime.residency.slots import Slot, SlotPool
from adapter_runtime.residency.tables import Methods, Placement
from adapter_runtime.types import ATTENTION_SITES, SUBLAYER_SITES, Composition, PlugPoint, leaves

Chain = tuple[Placement, ...]
"""Parts that compose at one point: each makes a step, the last one finishes."""


class FastRouter:
    """Routes by the device tables of pinned slots.

    Args:
        slots: where the adapters lie; every leaf that is routed is pinned by the caller.
    """

    def __init__(self, slots: SlotPool) -> None:
        self._slots = slots

    def order(self, composition: Composition | None) -> tuple[int, ...]:
        """Adapters that lie in the same tables side by side, by slot number among them."""
        slots = self._resolve(composition)
        return (*(slot.family for slot in slots), *(slot.number for slot in slots))

    def route(self, compositions: Sequence[Composition | None], spans: RowSpans) -> Work:
        """The work of a stream whose row *i* has composition *i*."""
        segments = cut_segments(compositions, spans)
        slots = [self._resolve(segment.composition) for segment in segments]
        return _Plan(segments, slots, spans, self._slots.methods, self._slots.device).work()

    def _resolve(self, composition: Composition | None) -> tuple[Slot, ...]:
        return tuple(self._slots.slot(leaf.ref) for leaf in leaves(composition))


class _Plan:
    """The work of one stream while it is being made."""

    def __init__(
        self,
        segments: Sequence[Segment],
        slots: Sequence[Sequence[Slot]],
        spans: RowSpans,
        methods: Methods,
        device: torch.device,
    ) -> None:
        self._segments = segments
        self._slots = slots
        self._spans = spans
        self._first_only = {name for name, method in methods.items() if method.first_only}
        self._chain_of = {name: getattr(method, "chain", name) for name, method in methods.items()}
        self._groups: dict[tuple[int, int, tuple[int, ...]], Groups] = {}
        self._device = device

    def work(self) -> Work:
        """The work at every point where some segment has Parts."""
        points = {point for slots in self._slots for slot in slots for point in slot.placements}
        return {point: self._work(point, points) for point in points}

    def _work(self, point: PlugPoint, points: set[PlugPoint]) -> Any:
        if point.site in SUBLAYER_SITES:
            return self._sublayer(point, norm_of(point) in points)
        if point.site in ATTENTION_SITES:
            return self._attention(point)
        return self._module(point, range(len(self._segments)))

    def _attention(self, point: PlugPoint) -> AttentionRuns:
        chains = [self._placed(point, segment) for segment in range(len(self._segments))]
        runs = []
        for tables, members in groupby(
            range(len(chains)), key=lambda segment: _tables([chains[segment]])
        ):
            run = tuple(members)
            if any(tables):
                first, last = self._segments[run[0]], self._segments[run[-1]]
                links = self._links(run, [chains[segment] for segment in run], 0)
                runs.append(AttentionRun(first.first, last.stop, first.start, last.end, links))
        return AttentionRuns(tuple(runs), len(self._spans))

    def _module(self, point: PlugPoint, segments: range) -> ModuleRuns:
        origin = self._segments[segments[0]].start
        chains = {segment: self._chains(point, segment) for segment in segments}
        runs = []
        for tables, members in groupby(segments, key=lambda segment: _tables(chains[segment])):
            run = tuple(members)
            if tables:
                columns = zip(*(chains[segment] for segment in run), strict=True)
                links = tuple(self._links(run, column, origin) for column in columns)
                runs.append(ModuleRun(*self._bounds(run, origin), links))
        return ModuleRuns(tuple(runs))

    def _sublayer(self, point: PlugPoint, has_norm_parts: bool) -> SublayerRuns:
        chains = [self._placed(point, segment) for segment in range(len(self._segments))]
        runs = []
        for _, members in groupby(
            range(len(chains)), key=lambda segment: _tables([chains[segment]])
        ):
            run = tuple(members)
            links = self._links(run, [chains[segment] for segment in run], 0)
            norm_work = None
            if has_norm_parts:
                norm_work = self._module(norm_of(point), range(run[0], run[-1] + 1))
            bounds = self._bounds(run, 0)
            runs.append(
                SublayerRun(*bounds, links, norm_work if norm_work and norm_work.runs else None)
            )
        return SublayerRuns(tuple(runs))

    def _placed(self, point: PlugPoint, segment: int) -> Chain:
        return tuple(
            place
            for number, slot in enumerate(self._slots[segment])
            for place in slot.placements.get(point, ())
            if number == 0 or place.method not in self._first_only
        )

    def _chains(self, point: PlugPoint, segment: int) -> tuple[Chain, ...]:
        """The segment's chains in the order of the method table; each in the order of its Stack."""
        placed = self._placed(point, segment)
        if len(placed) <= 1:
            return (placed,) if placed else ()
        chains: dict[str, list[Placement]] = {name: [] for name in self._chain_of.values()}
        for place in placed:
            chains[self._chain_of[place.method]].append(place)
        return tuple(tuple(chain) for chain in chains.values() if chain)

    def _links(
        self, run: Sequence[int], chains: Sequence[Chain], origin: int
    ) -> tuple[tuple[Any, Groups], ...]:
        """One link per step of the run's chains, which all have the same tables."""
        return tuple(
            (steps[0].table, self._group(run, tuple(place.row for place in steps), origin))
            for steps in zip(*chains, strict=True)
        )

    def _group(self, run: Sequence[int], table_rows: tuple[int, ...], origin: int) -> Groups:
        # Points whose tables hold the adapters in equal rows share the Groups and its tensors.
        key = (run[0], origin, table_rows)
        if key not in self._groups:
            start, stop = self._bounds(run, origin)
            ends = [self._segments[segment].end - origin - start for segment in run]
            rows = self._spans.slice(self._segments[run[0]].first, self._segments[run[-1]].stop)
            self._groups[key] = Groups(start, stop, table_rows, ends, rows, self._device)
        return self._groups[key]

    def _bounds(self, run: Sequence[int], origin: int) -> tuple[int, int]:
        return self._segments[run[0]].start - origin, self._segments[run[-1]].end - origin


def _tables(chains: Sequence[Chain]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(place.number for place in chain) for chain in chains)
