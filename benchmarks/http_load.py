"""The server over HTTP against the engine's own throughput on the same calls, interleaved.

    python -m benchmarks.http_load --tasks examples/tasks.yaml

Starts a server of its own unless --url names one. The engine's own throughput is measured in this
process on the same texts: `engine` is encode, run and decode; `run` is the forwards alone.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import orjson

from adapter_runtime import Kind, WorkItem
from serving.opening import Opened, open_catalog, open_tasks
from serving.settings import load_settings

TEXT = (
    "the old dog sleeps in a warm garden while children play music near river and people "
    "read long letters about weather trains bread money love winter science city market law"
)
WORDS = TEXT.split()
Call = tuple[str, Any]


def text(chance: random.Random) -> str:
    """A text of ordinary length: mostly short, sometimes long."""
    length = min(120, max(3, round(chance.lognormvariate(2.9, 0.6))))
    return " ".join(chance.choices(WORDS, k=length))


def inputs(kind: Kind, chance: random.Random) -> Any:
    """One input for a kind of task."""
    if kind is Kind.QUESTION_ANSWERING:
        return {"question": "Where does the dog sleep?", "context": text(chance)}
    if kind is Kind.MULTIPLE_CHOICE:
        return {"context": text(chance), "choices": [text(chance), text(chance)]}
    if kind is Kind.SENTENCE_SIMILARITY:
        return {"source_sentence": text(chance), "sentences": [text(chance), text(chance)]}
    return text(chance)


def mixed_calls(opened: Opened, count: int, seed: int = 7) -> list[Call]:
    """Calls to all tasks in random order; no text twice, for equal rows would be shared."""
    chance = random.Random(seed)
    versions = [opened.at_once.resolve(task.name) for task in opened.tasks]
    picked = [chance.choice(versions) for _ in range(count)]
    return [(version.task, inputs(version.kind, chance)) for version in picked]


def engine_rate(
    opened: Opened, calls: Sequence[Call], rows: int, seconds: float
) -> dict[str, float]:
    """Calls per second through the engine alone, in batches of `rows` calls."""
    count, run_s, started_s = 0, 0.0, time.perf_counter()
    source = cycle(calls)
    while time.perf_counter() - started_s < seconds:
        run_s += run_batch(opened, list(islice(source, rows)))
        count += rows
    return {"engine": count / (time.perf_counter() - started_s), "run": count / run_s}


def run_batch(opened: Opened, calls: Sequence[Call]) -> float:
    """Encode, run and decode one batch; returns the seconds of the forward alone."""
    engine, encoded = opened.engine, []
    for task, each in calls:
        version = opened.at_once.resolve(task)
        encoded.append((version, engine.encode(version, each, {})))
    items = [WorkItem(version, row) for version, each in encoded for row in each.rows]
    started_s = time.perf_counter()
    outcomes = iter(engine.run(items).outcomes)
    run_s = time.perf_counter() - started_s
    for version, each in encoded:
        engine.decode(version, each, [next(outcomes) for _ in each.rows])  # type: ignore[misc]
    return run_s


@contextmanager
def server(options: argparse.Namespace) -> Iterator[str]:
    """The URL of a server started for the block, or of the one that was named."""
    if options.url:
        yield options.url
        return
    command = [
        sys.executable,
        "-m",
        "serving.cli",
        "serve",
        "--port",
        "0",
        "--tasks",
        options.tasks,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    if found is None:
        raise SystemExit("The server did not start; its reason is above.")
    try:
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def load(url: str, connections: int, seconds: float, calls: Sequence[Call]) -> dict[str, Any]:
    """One round of the client in a process of its own."""
    place = urlsplit(url)
    job = {"host": place.hostname, "port": place.port, "connections": connections}
    content = orjson.dumps({**job, "seconds": seconds, "calls": calls})
    command = [sys.executable, "-m", "benchmarks.http_client"]
    done = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = orjson.loads(done.stdout)
    return result


def measure(url: str, opened: Opened, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds: the engine before each round of HTTP, so that both see the same machine."""
    calls = mixed_calls(opened, options.calls)
    engine_rate(opened, calls, options.rows, 2.0)
    load(url, 8, 2.0, calls)
    rounds: dict[int, list[dict[str, Any]]] = {count: [] for count in options.connections}
    for _ in range(options.rounds):
        for count in options.connections:
            alone = engine_rate(opened, calls, options.rows, options.seconds)
            found = load(url, count, options.seconds, calls)
            ratios = {f"ratio_to_{name}": found["requests_per_s"] / alone[name] for name in alone}
            rounds[count].append({**found, **alone, **ratios})
    return {
        str(count): {name: round(median(each[name] for each in found), 3) for name in found[0]}
        for count, found in rounds.items()
    }


def main() -> None:
    """Run client, server and engine by turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default="examples/tasks.yaml")
    parser.add_argument("--url", help="a running server with the same tasks")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=768, help="distinct calls")
    parser.add_argument("--rows", type=int, default=32, help="calls per batch of the engine alone")
    options = parser.parse_args()
    settings = load_settings(tasks=options.tasks)
    opened = open_tasks(settings, open_catalog(settings))
    with server(options) as url:
        result = measure(url, opened, options)
    print(orjson.dumps({"connections": result}, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
