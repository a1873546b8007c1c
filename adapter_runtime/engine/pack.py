"""From jobs to streams: equal rows once, rows dealt to streams by tokens, each stream laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from adapter_runtime.backbone.routing import Layout
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.types import Composition, Row

MAX_PADDING = 0.12
"""The share of padding up to which rows of unlike lengths may run together."""

Order = Callable[[Composition | None], tuple[int, ...]]
"""Where a composition stands in a stream: what shares device tables stands together."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row to run; leaves of the composition are digests that the caller has pinned."""

    row: Row
    composition: Composition | None


@dataclass(frozen=True, slots=True)
class SharedRow:
    """A row that runs once, and what is said of it.

    Args:
        row: the row.
        composition: the adapters.
        jobs: the numbers of the jobs that wait for it.
        word_starts: each job's words.
        family: the same number for equal rows over different adapters; None where there are none.
    """

    row: Row
    composition: Composition | None
    jobs: tuple[int, ...]
    word_starts: tuple[tuple[int, ...] | None, ...] = ()
    family: int | None = None

    def rows(self) -> list[Row]:
        """The row as each of its jobs gave it."""
        marks = self.word_starts or (None,) * len(self.jobs)
        return [self.row._replace(word_starts=starts) for starts in marks]

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return len(self.row.input_ids)


def share_rows(jobs: Sequence[Job], has_types: bool) -> list[SharedRow]:
    """Jobs of one composition whose rows are equal, but for words, once, in first-seen order."""
    found: dict[Row, dict[Composition | None, list[int]]] = {}
    for number, job in enumerate(jobs):
        types = job.row.type_ids if has_types and any(job.row.type_ids or ()) else None
        row = job.row._replace(type_ids=types, word_starts=None)
        found.setdefault(row, {}).setdefault(job.composition, []).append(number)
    shared = [
        SharedRow(
            row,
            tree,
            tuple(numbers),
            tuple(jobs[number].row.word_starts for number in numbers),
            family if len(trees) > 1 else None,
        )
        for family, (row, trees) in enumerate(found.items())
        for tree, numbers in trees.items()
    ]
    return sorted(shared, key=lambda each: each.jobs)


def plan_streams(
    rows: Sequence[SharedRow], layout: Layout, num_streams: int, order: Order, width: int
) -> list[list[SharedRow]]:
    """Deal rows to streams and sort each stream by composition; the costliest stream first.

    Packed rows go to at most `num_streams` streams of like cost. Padded rows go to as many as it
    takes for each to hold rows of like lengths.

    Args:
        rows: what is to run.
        layout: how rows lie.
        num_streams: streams at most, where rows are packed.
        order: where compositions stand in a stream.
        width: of the backbone's states.
    """
    if layout is Layout.PACKED:
        streams = _deal(rows, num_streams, width)
    else:
        streams = _group_lengths(rows, num_streams)
    for stream in streams:
        # Neighbours of one length attend in one call.
        stream.sort(key=lambda shared: (order(shared.composition), shared.length))
    return streams


def _deal(rows: Sequence[SharedRow], num_streams: int, width: int) -> list[list[SharedRow]]:
    streams: list[list[SharedRow]] = [[] for _ in range(num_streams)]
    loads = [0.0] * num_streams
    # Longest first onto the least loaded leaves the streams level to within a short row. A token's
    # products cost what the width says, its attention what the length of its row says.
    for shared in sorted(rows, key=lambda shared: -shared.length):
        lightest = loads.index(min(loads))
        streams[lightest].append(shared)
        loads[lightest] += shared.length * (1 + shared.length / width)
    return [stream for stream in streams if stream]


def _group_lengths(rows: Sequence[SharedRow], num_streams: int) -> list[list[SharedRow]]:
    most = sum(shared.length for shared in rows) / num_streams
    groups: list[list[SharedRow]] = []
    longest = tokens = 0
    for shared in sorted(rows, key=lambda shared: -shared.length):
        tokens += shared.length
        padded = longest * (len(groups[-1]) + 1) if groups else 0
        if padded == 0 or padded > most or tokens < padded * (1 - MAX_PADDING):
            groups.append([])
            longest = tokens = shared.length
        groups[-1].append(shared)
    return sorted(groups, key=lambda group: -len(group) * max(shared.length for shared in group))


def lay_out(stream: Sequence[SharedRow], layout: Layout) -> RowSpans:
    """The stream's rows as spans: touching when packed, at equal distance when padded."""
    lengths = [shared.length for shared in stream]
    if layout is Layout.PACKED:
        ends = list(accumulate(lengths))
        return RowSpans([0, *ends[:-1]], lengths, ends[-1])
    width = max(lengths)
    return RowSpans([row * width for row in range(len(lengths))], lengths, width * len(lengths))
