"""Equal rows over different adapters: they run as one up to the layer where the adapters begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from adapter_runtime.backbone.routing import Layout
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.pack import SharedRow, lay_out
from adapter_runtime.types import MODEL_LEVEL, Composition, PlugPoint, Site

NOWHERE = 1 << 30
"""The layer at which a composition begins that changes none."""
_AFTER_LAYERS = frozenset({Site.FINAL_NORM, Site.POOLER, Site.VOCABULARY, Site.CONTACTS})
_LEAST_WORK = 2 << 20
"""Tokens times layers times the width squared, below which a fork takes longer than it saves."""
_TIMES_ON_CUDA = 512
"""So much more work a device does in the time that a stage takes to be asked for; not measured."""

FirstLayer = Callable[[Composition | None], int]


def first_layer(points: Iterable[PlugPoint]) -> int:
    """The lowest layer that Parts at these points change; `NOWHERE` where they change none."""
    return min(map(_layer, points), default=NOWHERE)


def _layer(point: PlugPoint) -> int:
    if point.layer != MODEL_LEVEL:
        return point.layer
    return NOWHERE if point.site in _AFTER_LAYERS else 0


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of layers and the rows of the stream that run in it.

    Args:
        layers: the stretch.
        rows: numbers of the rows, as the stream has them.
        spans: where they lie.
        sources: of each row, the place in the stage before where its states are; none in the first.
    """

    layers: range
    rows: Sequence[int]
    spans: RowSpans
    sources: Sequence[int] = ()


def whole(stream: Sequence[SharedRow], layout: Layout, num_layers: int) -> list[Stage]:
    """All rows in all layers."""
    return [Stage(range(num_layers), range(len(stream)), lay_out(stream, layout))]


def least_saving(width: int, device: str) -> float:
    """Tokens times layers that a fork must save.

    Args:
        width: of the backbone's states.
        device: its type.
    """
    return _LEAST_WORK * (1 if device == "cpu" else _TIMES_ON_CUDA) / width**2


def stages_of(
    stream: Sequence[SharedRow], begin: FirstLayer, num_layers: int, least: float
) -> list[Stage]:
    """The stages of a packed stream: of equal rows the one whose adapters begin last runs first.

    The others join at the layer where theirs begin, as copies of it.

    Args:
        stream: the rows, in their order.
        begin: where a composition's adapters begin.
        num_layers: of the backbone.
        least: tokens times layers that a fork must save.
    """
    joins = _joins(stream, begin, num_layers)
    if not joins:
        return whole(stream, Layout.PACKED, num_layers)
    _drop_small(joins, stream, least)
    bounds = [0, *sorted({layer for layer, _ in joins.values()} - {0}), num_layers]
    stages: list[Stage] = []
    for start, stop in pairwise(bounds):
        rows = [row for row in range(len(stream)) if row not in joins or joins[row][0] <= start]
        spans = lay_out([stream[row] for row in rows], Layout.PACKED)
        sources: list[int] = []
        if stages:
            places = {row: place for place, row in enumerate(stages[-1].rows)}
            sources = [places[row if row in places else joins[row][1]] for row in rows]
        stages.append(Stage(range(start, stop), rows, spans, sources))
    return stages


def _joins(
    stream: Sequence[SharedRow], begin: FirstLayer, num_layers: int
) -> dict[int, tuple[int, int]]:
    """The layer at which each late row joins, and the row that it is a copy of."""
    families: dict[int, list[int]] = {}
    for row, shared in enumerate(stream):
        if shared.family is not None:
            families.setdefault(shared.family, []).append(row)
    joins: dict[int, tuple[int, int]] = {}
    for rows in families.values():
        if len(rows) > 1:
            # At the last layer at the latest: none is called after it.
            layers = [min(begin(stream[row].composition), num_layers - 1) for row in rows]
            host = rows[layers.index(max(layers))]
            joins |= {
                row: (layer, host)
                for row, layer in zip(rows, layers, strict=True)
                if layer and row != host
            }
    return joins


def _drop_small(
    joins: dict[int, tuple[int, int]], stream: Sequence[SharedRow], least: float
) -> None:
    """Have rows join sooner, or run from the start, where their stage would save too little."""
    bounds = [0, *sorted({layer for layer, _ in joins.values()})]
    for below, layer in reversed([*pairwise(bounds)]):
        late = [row for row, (own, _) in joins.items() if own == layer]
        if (layer - below) * sum(stream[row].length for row in late) < least:
            for row in late:
                joins[row] = below, joins[row][1]


def token_sources(stage: Stage, before: Stage) -> list[int]:
    """Of each token of a stage, its place in the stream of the stage before."""
    starts, lengths = before.spans.starts, before.spans.lengths
    return [
        token
        for source in stage.sources
        for token in range(starts[source], starts[source] + lengths[source])
    ]


def num_computed(stages: Sequence[Stage]) -> int:
    """Tokens that went through the layers; those that joined late count for the layers they saw."""
    num_layers = stages[-1].layers.stop
    work = sum(len(stage.layers) * stage.spans.num_tokens for stage in stages)
    return -(-work // num_layers)
