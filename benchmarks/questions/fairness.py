"""Fair shares under overload: what one task's flood costs the others, over HTTP.

    python -m benchmarks.questions.fairness [--rounds 5]

Six tasks that ask alike saturate the server; then one of them asks ten times more, once with ten
times the connections, once with ten texts in each request. Base and floods take turns. Then a burst
of one task whose clients come again when they are told to, and one whose clients hang up.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.http_load import Call, load, text
from benchmarks.overload import gone, shed
from benchmarks.results import Result, Target, arguments, finish, machine_facts
from benchmarks.server import Server, serving

FLOODER = "intent"
OTHERS = ("sentiment", "spam", "package-tags", "embed", "pos")
TIMES = 10
MOST = 1.25
Rounds = list[dict[str, float]]


def calls(tasks: tuple[str, ...], texts: int, seed: int) -> list[Call]:
    """Calls to tasks by turns; no text twice, for equal rows would be shared."""
    chance = random.Random(seed)
    made = ([text(chance) for _ in range(texts)] for _ in range(1024))
    return [(tasks[n % len(tasks)], each if texts > 1 else each[0]) for n, each in enumerate(made)]


def one_load(server: Server, each: int, flooding: int, texts: int, seconds: float) -> Any:
    """The others' and the flooder's clients side by side; what the others saw, and the flooder."""
    with ThreadPoolExecutor(2) as pool:
        flood = pool.submit(
            load, server.url, flooding, seconds + 1.0, calls((FLOODER,), texts, seed=5)
        )
        found = load(server.url, each * len(OTHERS), seconds, calls(OTHERS, 1, seed=6))
        return found, flood.result()


def fair(server: Server, options: argparse.Namespace) -> dict[str, Rounds]:
    """Base and floods by turns."""
    each = options.connections
    kinds = {"base": (each, 1), "connections": (TIMES * each, 1), "lists": (each, TIMES)}
    rounds: dict[str, Rounds] = {name: [] for name in kinds}
    one_load(server, each, each, 1, 2.0)
    for _ in range(options.rounds):
        for name, (flooding, texts) in kinds.items():
            others, flooder = one_load(server, each, flooding, texts, options.seconds)
            kept = ("requests_per_s", "p50_ms", "p95_ms", "num_errors")
            rounds[name].append(
                {key: others[key] for key in kept}
                | {"flooder_requests_per_s": flooder["requests_per_s"]}
                | {"flooder_p95_ms": flooder["p95_ms"], "flooder_errors": flooder["num_errors"]}
            )
    return rounds


def medians(rounds: Rounds) -> dict[str, float]:
    """The median over rounds of every figure."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def result(
    rounds: Mapping[str, Rounds], bursts: Mapping[str, Rounds], options: argparse.Namespace
) -> Result:
    """Medians, what the floods cost, and whether promises were kept."""
    base = medians(rounds["base"])
    contenders = {
        "others, all tasks alike": base,
        f"others, {FLOODER} with {TIMES} times the connections": medians(rounds["connections"]),
        f"others, {FLOODER} with {TIMES} texts a request": medians(rounds["lists"]),
        "burst that comes again": medians(bursts["shed"]),
        "burst that hangs up": medians(bursts["gone"]),
    }
    raised = {
        name: medians(rounds[name])["p95_ms"] / base["p95_ms"] for name in ("connections", "lists")
    }
    targets = [
        Target(f"others' p95 in a flood of {name}, of p95 before", MOST, ratio, is_most=True)
        for name, ratio in raised.items()
    ]
    again, hung_up = medians(bursts["shed"]), medians(bursts["gone"])
    targets += [
        Target("shed requests served when they came again", 0.9, again["served_when_told"]),
        Target("light requests shed beside a burst", 0.0, again["light_shed"], is_most=True),
        Target(
            "rows run for clients that had gone, of those that waited",
            0.05,
            hung_up["rows_run_after"] / (hung_up["rows_sent"] - hung_up["rows_run_before"]),
            is_most=True,
        ),
    ]
    notes = [
        f"{len(OTHERS) + 1} tasks with {options.connections} connections each, one request in "
        "flight on each; client and server share the cores.",
        "Rows that a lane has begun when their clients go are run to their end.",
    ]
    return Result("fairness", options.rounds, contenders, targets=targets, notes=notes)


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--tasks", default="examples/tasks.yaml")
    parser.add_argument("--connections", type=int, default=8, help="of each task")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    options = parser.parse_args()
    machine = machine_facts()
    bursts: dict[str, Rounds] = {"shed": [], "gone": []}
    with tempfile.TemporaryDirectory() as place:
        with serving(Path(options.tasks), Path(place)) as server:
            rounds = fair(server, options)
            for number in range(options.rounds):
                bursts["gone"].append(gone(server, 200, 8, 0.5, seed=1000 + number))
        with serving(Path(options.tasks), Path(place), max_queue_s=1.0) as server:
            shed(server, 50, 8, seed=1)
            for number in range(options.rounds):
                bursts["shed"].append(shed(server, 200, 8, seed=2000 + number))
    finish(result(rounds, bursts, options), machine, options.output)


if __name__ == "__main__":
    main()
