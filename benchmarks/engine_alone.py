"""The engine alone in this process: calls without HTTP, and the processor time that they take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice

from adapter_runtime import WorkItem
from benchmarks.http_load import Call
from serving.opening import Opened, open_catalog, open_tasks
from serving.settings import load_settings


@contextmanager
def opened_tasks(tasks: str, dtype: str) -> Iterator[Opened]:
    """The tasks on an engine of this process, for the block.

    Raises:
        PolyheadError: the engine does not start so, as with a dtype that it does not have.
    """
    settings = load_settings(tasks=tasks, dtype=dtype)
    opened = open_tasks(settings, open_catalog(settings))
    try:
        yield opened
    finally:
        opened.engine.close()


def engine_rate(
    opened: Opened, calls: Sequence[Call], rows: int, seconds: float
) -> dict[str, float]:
    """Calls per second in batches of `rows` calls, and processor milliseconds of each call.

    Half of the time goes to one batch after the other, each dealt to all cores (`engine_batches`),
    half to as many callers as the engine has lanes (`engine_lanes`); `engine` is the better one.
    Each batch is encoded, run and decoded.
    """
    began_cpu_s = time.process_time()
    batches, count = _rate(opened, calls, rows, seconds / 2, callers=1)
    lanes, more = _rate(opened, calls, rows, seconds / 2, opened.engine.info.num_lanes)
    cpu_s = time.process_time() - began_cpu_s
    return {
        "engine": max(batches, lanes),
        "engine_batches": batches,
        "engine_lanes": lanes,
        "engine_cpu_ms": 1000 * cpu_s / (count + more),
    }


def lanes_rate(opened: Opened, calls: Sequence[Call], rows: int, seconds: float) -> float:
    """Calls per second of one caller for each lane, in batches of `rows` calls."""
    return _rate(opened, calls, rows, seconds, opened.engine.info.num_lanes)[0]


def _rate(
    opened: Opened, calls: Sequence[Call], rows: int, seconds: float, callers: int
) -> tuple[float, int]:
    """Calls per second of so many callers side by side, and how many there were."""
    began_s = time.perf_counter()

    def go_on(caller: int) -> int:
        """One caller's calls until the time is over; how many they were."""
        count, source = 0, islice(cycle(calls), caller * len(calls) // callers, None)
        while time.perf_counter() - began_s < seconds:
            run_batch(opened, list(islice(source, rows)), 1 if callers > 1 else None)
            count += rows
        return count

    with ThreadPoolExecutor(callers) as threads:
        count = sum(threads.map(go_on, range(callers)))
    return count / (time.perf_counter() - began_s), count


def run_batch(opened: Opened, calls: Sequence[Call], lanes: int | None = None) -> None:
    """Encode, run and decode one batch."""
    engine, encoded = opened.engine, []
    for task, each in calls:
        version = opened.at_once.resolve(task)
        encoded.append((version, engine.encode(version, each, {})))
    items = [WorkItem(version, row) for version, each in encoded for row in each.rows]
    outcomes = iter(engine.run(items, lanes).outcomes)
    for version, each in encoded:
        engine.decode(version, each, [next(outcomes) for _ in each.rows])  # type: ignore[misc]
