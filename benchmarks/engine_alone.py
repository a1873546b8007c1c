"""The engine alone in this process: calls without HTTP, and the processor time that they take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice

from adapter_runtime import WorkItem
from benchmarks.http_load import Call
from serving.opening import Opened, open_catalog, open_tasks
from serving.settings import load_settings


@contextmanager
def opened_tasks(tasks: str, dtype: str) -> Iterator[Opened]:
    """The tasks on an engine of this process, for the block."""
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

    `engine` is encode, run and decode, one after the other; `run` is the forwards alone.
    """
    count, run_s, source = 0, 0.0, cycle(calls)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    while time.perf_counter() - began_s < seconds:
        run_s += run_batch(opened, list(islice(source, rows)))
        count += rows
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return {"engine": count / took_s, "run": count / run_s, "engine_cpu_ms": 1000 * cpu_s / count}


def run_batch(opened: Opened, calls: Sequence[Call]) -> float:
    """Encode, run and decode one batch; returns the seconds of the forward alone."""
    engine, encoded = opened.engine, []
    for task, each in calls:
        version = opened.at_once.resolve(task)
        encoded.append((version, engine.encode(version, each, {})))
    items = [WorkItem(version, row) for version, each in encoded for row in each.rows]
    began_s = time.perf_counter()
    outcomes = iter(engine.run(items).outcomes)
    run_s = time.perf_counter() - began_s
    for version, each in encoded:
        engine.decode(version, each, [next(outcomes) for _ in each.rows])  # type: ignore[misc]
    return run_s
