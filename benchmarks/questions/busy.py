"""Quiet and busy side by side: what a process that wants every core leaves.

    python -m benchmarks.questions.busy [--rounds 5]

The same batch through our single-threaded streams and through one forward with a thread per core,
and the server over HTTP, each on the quiet machine and beside that process, by turns. The machine's
scheduler leaves about half to each, so a share of 0.5 is in proportion.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.busy_neighbour import measure, neighbour
from benchmarks.http_load import load, text
from benchmarks.results import Result, arguments, finish, machine_facts, median_ratio
from benchmarks.server import serving

Rounds = dict[str, list[dict[str, float]]]
NAMES = {
    "streams": "engine, a stream per core",
    "threads": "one forward, a thread per core",
}


def over_http(options: argparse.Namespace, state: Path) -> Rounds:
    """The server under load, quiet and busy by turns."""
    chance = random.Random(3)
    calls = [("sentiment", text(chance)) for _ in range(1024)]
    found: Rounds = {"quiet": [], "busy": []}
    with serving(Path(options.tasks), state) as server, neighbour() as process:
        load(server.url, options.connections, 1.0, calls)
        for _ in range(options.rounds):
            for name, order in (("quiet", signal.SIGSTOP), ("busy", signal.SIGCONT)):
                process.send_signal(order)
                time.sleep(0.2)
                found[name].append(load(server.url, options.connections, options.seconds, calls))
    return found


def result(engine: Mapping[str, Any], http: Rounds, options: argparse.Namespace) -> Result:
    """Both conditions of each contender beside each other, and what is kept."""
    contenders: dict[str, dict[str, float]] = {}
    kept: dict[str, float] = {}
    for name, words in NAMES.items():
        quiet, busy = (engine["median_ms"][f"{name} {state}"] for state in ("quiet", "busy"))
        share = engine["kept_share_of_throughput"][name]
        contenders[words] = {"quiet_ms": quiet, "busy_ms": busy, "kept_share": share}
        kept[f"throughput kept: {words}"] = share
    rates = {name: [each["requests_per_s"] for each in seen] for name, seen in http.items()}
    share = median_ratio(rates["busy"], rates["quiet"])
    words = f"server, {options.connections} connections"
    contenders[words] = {
        **{f"{name}_requests_per_s": statistics.median(seen) for name, seen in rates.items()},
        **{
            f"{name}_p99_ms": statistics.median(each["p99_ms"] for each in seen)
            for name, seen in http.items()
        },
        "kept_share": share,
    }
    kept[f"throughput kept: {words}"] = share
    note = (
        "The neighbour multiplies matrices with a thread per core: half is a fair share. "
        "Over HTTP it takes its share from the client too."
    )
    return Result("busy", options.rounds, contenders, kept, notes=[note])


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--tasks", default="examples/tasks.yaml")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    machine = machine_facts()
    engine = measure(options.rounds)
    with tempfile.TemporaryDirectory() as place:
        http = over_http(options, Path(place))
    finish(result(engine, http, options), machine, options.output)


if __name__ == "__main__":
    main()
