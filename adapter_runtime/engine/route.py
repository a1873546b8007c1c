"""From the compositions of a stream's rows to the work at each plug point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from adapter_runtime.backbone.routing import Beside, Work
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.types import Composition, PlugPoint, Site

NORM_OF = {
    Site.ATTENTION: Site.ATTENTION_NORM,
    Site.CROSS: Site.CROSS_NORM,
    Site.FFN: Site.FFN_NORM,
}
"""The LayerNorm that closes each sublayer; itself a module point."""


def norm_of(point: PlugPoint) -> PlugPoint:
    """The norm point of a sublayer point."""
    return PlugPoint(point.layer, NORM_OF[point.site])


class Router(Protocol):
    """Turns compositions into work; the fast and the reference path each have one."""

    def order(self, composition: Composition | None) -> tuple[int, ...]:
        """A sort key under which compositions that share device tables stand together."""
        ...

    def begin(self, composition: Composition | None) -> int:
        """The lowest layer that a composition changes; beyond all where it changes none."""
        ...

    def route(
        self,
        compositions: Sequence[Composition | None],
        spans: RowSpans,
        layers: range | None = None,
    ) -> Work:
        """The work of a stream whose row *i* has composition *i*.

        Args:
            compositions: of the rows.
            spans: where they lie.
            layers: the only ones whose work is asked for, beside what is outside all layers.
        """
        ...


def beside(router: Router, compositions: Sequence[Composition | None]) -> Beside:
    """The work of a stream's compositions on vectors beside its tokens, each composition once."""

    def route(length: int) -> tuple[Work, Sequence[int]]:
        """Work on so many vectors per composition, and which of these each composition is."""
        distinct = list(dict.fromkeys(compositions))
        numbers = [distinct.index(composition) for composition in compositions]
        starts = range(0, len(distinct) * length, length)
        spans = RowSpans(starts, [length] * len(distinct), len(distinct) * length)
        return router.route(distinct, spans), numbers

    return route


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive rows of one composition, as rows `first:stop` and tokens `start:end`."""

    composition: Composition | None
    first: int
    stop: int
    start: int
    end: int


def cut_segments(compositions: Sequence[Composition | None], spans: RowSpans) -> list[Segment]:
    """Maximal runs of rows with equal compositions; they cover the stream."""
    segments: list[Segment] = []
    for composition, run in groupby(range(len(compositions)), key=lambda row: compositions[row]):
        rows = list(run)
        first, stop = rows[0], rows[-1] + 1
        end = spans.starts[stop] if stop < len(spans) else spans.num_tokens
        segments.append(Segment(composition, first, stop, spans.starts[first], end))
    return segments
