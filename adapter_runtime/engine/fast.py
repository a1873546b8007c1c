"""The fast path: what shares device tables stands together and is worked on together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, cast

import torch

from adapter_runtime.backbone.routing import Groups, Work
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.forking import first_layer
from adapter_runtime.engine.route import Segment, cut_segments, norm_of
from adapter_runtime.engine.runs import (
    AttentionRun,
    AttentionRuns,
    ModuleRun,
    ModuleRuns,
    ModuleTableUnit,
    SublayerRun,
    SublayerRuns,
    SublayerTableUnit,
    TableUnit,
)
from adapter_runtime.engine.trees import Node, join, nodes_at, shape
from adapter_runtime.residency.slots import Slot, SlotPool
from adapter_runtime.residency.tables import Methods, Placement
from adapter_runtime.types import (
    ATTENTION_SITES,
    MODEL_LEVEL,
    SUBLAYER_SITES,
    Average,
    Composition,
    Fuse,
    PlugPoint,
    leaves,
)

_MAX_KNOWN = 4096
"""Compositions whose trees are kept from batch to batch."""


class FastRouter:
    """Routes by the device tables of pinned slots.

    Args:
        slots: where the adapters lie; every leaf that is routed is pinned by the caller.
    """

    def __init__(self, slots: SlotPool) -> None:
        self._slots = slots
        self._lock = threading.Lock()
        self._known: dict[Composition | None, _Placed] = {}
        self._with: dict[str, set[Composition]] = {}
        slots.watch(self._forget)

    def _forget(self, digest: str) -> None:
        """What is known of an evicted adapter would keep its tables in memory."""
        with self._lock:
            for composition in self._with.pop(digest, ()):
                self._known.pop(composition, None)
                # Those that stay need not remember whom they met.
                for leaf in leaves(composition):
                    self._with.get(leaf.ref, set()).discard(composition)

    def order(self, composition: Composition | None) -> tuple[int, ...]:
        """Adapters that lie in the same tables side by side, by slot number among them."""
        return self._resolve(composition).order

    def begin(self, composition: Composition | None) -> int:
        """The lowest layer that a composition changes."""
        return self._resolve(composition).begin

    def route(
        self,
        compositions: Sequence[Composition | None],
        spans: RowSpans,
        layers: range | None = None,
    ) -> Work:
        """The work of a stream whose row *i* has composition *i*; see `Router.route`."""
        segments = cut_segments(compositions, spans)
        placed = [self._resolve(segment.composition) for segment in segments]
        return _Plan(segments, placed, spans, self._slots.device).work(layers)

    def _resolve(self, composition: Composition | None) -> _Placed:
        slots = tuple(self._slots.slot(leaf.ref) for leaf in leaves(composition))
        found = self._known.get(composition)
        if found is None or any(map(_differ, found.slots, slots)):
            found = _Placed(composition, slots, self._slots.methods)
            self._remember(composition, found)
        return found

    def _remember(self, composition: Composition | None, placed: _Placed) -> None:
        with self._lock:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
                self._with.clear()
            self._known[composition] = placed
            # Its adapters are pinned, so none of them leaves before this is written down.
            for leaf in leaves(composition):
                self._with.setdefault(leaf.ref, set()).add(cast(Composition, composition))


def _differ(one: Slot, other: Slot) -> bool:
    return one is not other


class _Placed:
    """A composition whose adapters lie on the device, pruned point by point when asked."""

    def __init__(
        self, composition: Composition | None, slots: tuple[Slot, ...], methods: Methods
    ) -> None:
        self.slots = slots
        self.points = frozenset(point for slot in slots for point in slot.placements)
        self.begin = first_layer(self.points)
        kind = hash(_outline(composition)) if isinstance(composition, Average | Fuse) else 0
        numbers = tuple(slot.number for slot in slots)
        self.order = (kind, *(slot.family for slot in slots), *numbers)
        self._composition = composition
        self._methods = methods
        self._nodes: dict[PlugPoint, tuple[Node[Placement], ...]] = {}
        self._shapes: dict[PlugPoint, Any] = {}

    def nodes(self, point: PlugPoint) -> tuple[Node[Placement], ...]:
        """What acts at a point."""
        if point not in self._nodes:
            placed = [slot.placements.get(point, ()) for slot in self.slots]
            self._nodes[point] = nodes_at(point, self._composition, placed, self._methods)
        return self._nodes[point]

    def shape(self, point: PlugPoint) -> Any:
        """Equal for compositions that can be worked on together at a point."""
        if point not in self._shapes:
            self._shapes[point] = tuple(shape(node, _table) for node in self.nodes(point))
        return self._shapes[point]


def _table(place: Placement) -> int:
    return place.number


def _outline(tree: Average | Fuse) -> tuple[Any, ...]:
    return type(tree).__name__, len(tree.children), getattr(tree, "weights", ())


class _Plan:
    """The work of one stream while it is being made."""

    def __init__(
        self,
        segments: Sequence[Segment],
        placed: Sequence[_Placed],
        spans: RowSpans,
        device: torch.device,
    ) -> None:
        self._segments = segments
        self._placed = placed
        self._spans = spans
        self._groups: dict[tuple[int, int, tuple[int, ...]], Groups] = {}
        self._device = device

    def work(self, layers: range | None) -> Work:
        """The work at every point where some segment has Parts; of some layers, or of all."""
        points = frozenset[PlugPoint]().union(*(placed.points for placed in self._placed))
        if layers is not None:
            points = frozenset(
                point for point in points if point.layer == MODEL_LEVEL or point.layer in layers
            )
        return {point: self._work(point, points) for point in points}

    def _work(self, point: PlugPoint, points: frozenset[PlugPoint]) -> Any:
        if point.site in SUBLAYER_SITES:
            return self._sublayer(point, norm_of(point) in points)
        if point.site in ATTENTION_SITES:
            return self._attention(point)
        return self._module(point, range(len(self._segments)))

    def _attention(self, point: PlugPoint) -> AttentionRuns:
        runs = []
        for run, nodes in self._runs(point, range(len(self._segments)), TableUnit, 0):
            if nodes:
                first, last = self._segments[run[0]], self._segments[run[-1]]
                runs.append(AttentionRun(first.first, last.stop, first.start, last.end, nodes[0]))
        return AttentionRuns(tuple(runs), len(self._spans))

    def _module(self, point: PlugPoint, segments: range) -> ModuleRuns:
        origin = self._segments[segments[0]].start
        runs = [
            ModuleRun(*self._bounds(run, origin), nodes)
            for run, nodes in self._runs(point, segments, ModuleTableUnit, origin)
            if nodes
        ]
        return ModuleRuns(tuple(runs))

    def _sublayer(self, point: PlugPoint, has_norm_parts: bool) -> SublayerRuns:
        runs = []
        for run, nodes in self._runs(point, range(len(self._segments)), SublayerTableUnit, 0):
            norm_work = None
            if has_norm_parts:
                norm_work = self._module(norm_of(point), range(run[0], run[-1] + 1))
            runs.append(
                SublayerRun(
                    *self._bounds(run, 0),
                    nodes[0] if nodes else None,
                    norm_work if norm_work and norm_work.runs else None,
                )
            )
        return SublayerRuns(tuple(runs))

    def _runs(
        self,
        point: PlugPoint,
        segments: range,
        unit: Callable[[Any, Groups], Any],
        origin: int,
    ) -> list[tuple[tuple[int, ...], tuple[Node[Any], ...]]]:
        """Maximal runs of segments of one shape at a point, with what they do there together."""
        placed, found = self._placed, []
        for _, members in groupby(segments, key=lambda segment: placed[segment].shape(point)):
            run = tuple(members)

            def bind(places: Sequence[Placement], run: tuple[int, ...] = run) -> Any:
                rows = tuple(place.row for place in places)
                return unit(places[0].table, self._group(run, rows, origin))

            columns = zip(*(placed[segment].nodes(point) for segment in run), strict=True)
            found.append((run, tuple(join(column, bind) for column in columns)))
        return found

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
