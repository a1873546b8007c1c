"""A thousand registered tasks against five, over HTTP, with Zipf traffic.

    python -m benchmarks.questions.registered_http [--tasks 1000] [--rooms 1024 100]

Two servers with the same settings take turns, as `benchmarks.many_tasks` has it. `--rooms` are
places for adapters on the device: 1,024 is the server's default and holds all of them; with 100,
nine of ten tasks are brought in when they are asked for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.many_tasks import measure
from benchmarks.results import Result, Target, arguments, finish, machine_facts

REACH = 0.97
FIGURES = ("requests_per_s", "p50_ms", "p95_ms", "p99_ms", "num_errors")


def result(found: Mapping[int, Mapping[str, Any]], options: argparse.Namespace) -> Result:
    """Medians, ratios and targets, by the room that there is."""
    contenders: dict[str, dict[str, Any]] = {}
    ratios, targets = {}, []
    for slots, seen in found.items():
        where = f"room for {slots}"
        for name in ("many", "five"):
            told = {
                key: statistics.median(one[name][key] for one in seen["rounds"]) for key in FIGURES
            }
            contenders[f"{tasks(name, options)}, {where}"] = told
        many = contenders[f"{tasks('many', options)}, {where}"]
        many["seldom_asked_p50_ms"] = seen["tail_under_load"]["p50_ms"]
        many["server_mib"] = seen["memory_mib"]["many"]
        ratio = seen["throughput_ratio"]
        ratios[f"requests/s, {where}"] = ratio
        targets.append(Target(f"{options.tasks} tasks against 5, Zipf, {where}", REACH, ratio))
    note = f"{options.connections} connections, dtype {options.dtype}; every task was asked once."
    return Result("registered_http", options.rounds, contenders, ratios, targets, notes=[note])


def tasks(name: str, options: argparse.Namespace) -> str:
    """A contender in words."""
    return f"{options.tasks} tasks" if name == "many" else "5 tasks"


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=4)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rooms", type=int, nargs="+", default=[1024, 100])
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--exponent", type=float, default=1.0)
    options = parser.parse_args()
    machine, found = machine_facts(), {}
    os.environ["POLYHEAD_DTYPE"] = options.dtype
    for slots in options.rooms:
        with tempfile.TemporaryDirectory() as place:
            given = argparse.Namespace(**vars(options), slots=slots)
            found[slots] = measure(given, Path(place))
    finish(result(found, options), machine, options.output)


if __name__ == "__main__":
    main()
