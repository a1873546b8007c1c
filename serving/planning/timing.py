"""Seconds of batches on one lane while all lanes are busy, as the server runs them.

On CPU a lane is one thread, so its processor time is what it takes on a machine of its own; what
others take of this machine meanwhile does not count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from statistics import mean, median
from typing import NamedTuple

from adapter_runtime import Engine, InvalidInput, Row, TaskVersion, WorkItem
from serving.planning.figures import BatchFigures, LeftOut
from serving.planning.inputs import Texts

MOST_TASKS = 32
_POOL = 64
_GROWTH = 4
_MOST_REQUESTS = 256
_LEAST_SIZES = 5
"""Of one request bare and with a task, and of four also with several."""


class Size(NamedTuple):
    """What a batch is made of; 0 tasks are the bare backbone."""

    requests: int
    tasks: int


class Timed(NamedTuple):
    """One batch on one lane."""

    tokens: float
    seconds: float
    wall_s: float


class Rows:
    """Requests of one task, each another text, for ever."""

    def __init__(self, engine: Engine, version: TaskVersion, tokens: float) -> None:
        self.version = version
        texts = Texts(engine, version, tokens)
        self._pool: Iterator[tuple[Row, ...]] = cycle([texts.encoded().rows for _ in range(_POOL)])

    def requests(self, count: int) -> list[WorkItem]:
        """The rows of so many requests."""
        found = islice(self._pool, count)
        return [WorkItem(self.version, row) for rows in found for row in rows]


class Stopwatch:
    """Runs a batch on each lane at once.

    Args:
        engine: runs them.
        bare: rows of the bare backbone.
        tasks: rows of different tasks.
    """

    def __init__(self, engine: Engine, bare: Rows, tasks: Sequence[Rows]) -> None:
        self._engine = engine
        self._bare = bare
        self._tasks = tasks
        self._is_cpu = engine.info.device.startswith("cpu")
        self._threads = ThreadPoolExecutor(engine.info.num_lanes, "plan")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def run(self, size: Size, turn: int = 0) -> Timed:
        """One batch of a size on every lane; its mean.

        Args:
            turn: which task a batch of one task has.
        """
        lanes = self._engine.info.num_lanes
        batches = [self._batch(size, turn) for _ in range(lanes)]
        began_s = time.process_time()
        wall_s = mean(self._threads.map(self._run_one, batches))
        ran_s = (time.process_time() - began_s) / lanes
        tokens = sum(len(item.row.input_ids) for batch in batches for item in batch)
        return Timed(tokens / lanes, ran_s if self._is_cpu else wall_s, wall_s)

    def _batch(self, size: Size, turn: int) -> list[WorkItem]:
        if size.tasks == 0:
            return self._bare.requests(size.requests)
        chosen = [self._tasks[(turn + i) % len(self._tasks)] for i in range(size.tasks)]
        counts = [len(range(i, size.requests, size.tasks)) for i in range(size.tasks)]
        return [
            item
            for rows, count in zip(chosen, counts, strict=True)
            for item in rows.requests(count)
        ]

    def _run_one(self, items: Sequence[WorkItem]) -> float:
        began_s = time.perf_counter()
        outcomes = self._engine.run(items, lanes=1).outcomes
        took_s = time.perf_counter() - began_s
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return took_s


def request_counts(watch: Stopwatch, longest_s: float, until_s: float) -> list[int]:
    """Requests of batches from one up to those that take longer than a batch should.

    There are two at least, so that fixed cost and cost per token can be told apart. Blocks; warms
    the backbone up.
    """
    counts: list[int] = []
    count = 1
    while count <= _MOST_REQUESTS:
        counts.append(count)
        watch.run(Size(count, 0))
        took_s = watch.run(Size(count, 0)).seconds
        if len(counts) > 1 and (took_s > longest_s or time.monotonic() >= until_s):
            break
        count *= _GROWTH
    return counts


def sizes(counts: Sequence[int], num_tasks: int) -> list[Size]:
    """Each count of requests bare, with one task, and with as many tasks as there are."""
    return [
        Size(count, number)
        for count in counts
        for number in sorted({0, min(1, num_tasks), min(num_tasks, count)})
    ]


def time_batches(watch: Stopwatch, sizes: Sequence[Size], until_s: float) -> list[BatchFigures]:
    """All sizes by turns until the time is over, the first few at least; medians. Blocks."""
    found: dict[Size, list[Timed]] = {}
    for number, size in enumerate(cycle(sizes)):
        if number >= min(_LEAST_SIZES, len(sizes)) and time.monotonic() >= until_s:
            break
        found.setdefault(size, []).append(watch.run(size, number // len(sizes)))
    return [
        BatchFigures(
            tokens=median(each.tokens for each in times),
            requests=size.requests,
            tasks=size.tasks,
            seconds=median(each.seconds for each in times),
            wall_s=median(each.wall_s for each in times),
            rounds=len(times),
        )
        for size, times in found.items()
    ]


def rows_of(
    engine: Engine, versions: Sequence[TaskVersion], tokens: float
) -> tuple[list[Rows], list[LeftOut]]:
    """Rows for up to `MOST_TASKS` tasks, and those that take no text of ours or cannot run."""
    found: list[Rows] = []
    left_out: list[LeftOut] = []
    for version in versions:
        if len(found) == min(MOST_TASKS, engine.info.max_batch_adapters):
            break
        try:
            rows = Rows(engine, version, tokens)
            _try(engine, rows)
        except InvalidInput as error:
            reason = f"not timed: it takes no text of {tokens:g} tokens: {error}"
            left_out.append(LeftOut(name=version.task, reason=reason))
        except Exception as error:  # whatever a head raises is one task's own
            left_out.append(LeftOut(name=version.task, reason=f"not timed: {error}"))
        else:
            found.append(rows)
    return found, left_out


def _try(engine: Engine, rows: Rows) -> None:
    for outcome in engine.run(rows.requests(1), lanes=1).outcomes:
        if isinstance(outcome, Exception):
            raise outcome
