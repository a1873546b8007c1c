"""What starting cold costs: the whole server, an evicted task, and the warm tasks beside it.

    python -m benchmarks.questions.cold_start [--starts 40] [--rounds 3]

Starts a server with the demo's tasks a few times, until it says that it is ready and until its
first answer. Then what `benchmarks.cold_start` measures: an evicted task's first answer over a warm
one, and the 95th percentile of warm tasks while others are evicted and asked without pause.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cold_start import asked_ms, beside, cold_starts
from benchmarks.many_tasks import write_tasks
from benchmarks.results import Result, arguments, finish, machine_facts, spread
from benchmarks.server import serving


def server_starts(count: int, tasks: str) -> dict[str, list[float]]:
    """Seconds to ready and to the first answer, without the first start, which reads the disk."""
    found: dict[str, list[float]] = {"ready": [], "first answer": []}
    for number in range(count + 1):
        with tempfile.TemporaryDirectory() as state:
            began_s = time.perf_counter()
            with serving(Path(tasks), Path(state)) as server:
                ready_s = time.perf_counter() - began_s
                asked_ms(server, "sentiment")
                if number:
                    found["ready"].append(ready_s)
                    found["first answer"].append(time.perf_counter() - began_s)
    return found


def evictions(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cold requests at rest, and warm tasks under load beside them."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_tasks(Path(place), options.tasks, options.tasks)
        with serving(folder, Path(place) / "state") as server:
            tasks = [f"t{number}" for number in range(options.tasks)]
            for task in tasks:
                asked_ms(server, task)
            return cold_starts(server, tasks, options.starts), beside(server, options)


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--servers", type=int, default=3, help="starts of a whole server")
    parser.add_argument("--demo", default="examples/tasks.yaml")
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--starts", type=int, default=40, help="evicted tasks at rest")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between cold starts")
    options = parser.parse_args()
    machine = machine_facts()
    whole = server_starts(options.servers, options.demo)
    rest, load = evictions(options)
    contenders: dict[str, dict[str, Any]] = {
        f"server: {name}": spread(seconds, "s") for name, seconds in whole.items()
    }
    contenders["task: warm"] = {"median_ms": rest["warm_ms_median"]}
    contenders["task: evicted"] = {"median_ms": rest["cold_ms_median"]}
    contenders["warm tasks alone"] = {"p95_ms": statistics.median(load["p95_ms_alone"])}
    busy = statistics.median(load["p95_ms_beside_cold_starts"])
    contenders["warm tasks beside cold starts"] = {"p95_ms": busy}
    ratios = {"p95 beside cold starts over alone": load["p95_ratio_median"]}
    notes = [f"An evicted task's first answer takes {rest['added_ms_median']} ms more (median)."]
    done = Result("cold_start", options.rounds, contenders, ratios, notes=notes)
    finish(done, machine, options.output)


if __name__ == "__main__":
    main()
