"""Over HTTP against the engine alone: requests a second on the demo's mixed tasks, same run.

    python -m benchmarks.questions.http_share [--dtypes float32 bfloat16] [--connections 1 16 64]

Client, server and engine share the machine's cores. Each round times the engine alone in this
process (encode, run and decode, in batches) right before each round of HTTP, and once more after it
in batches as small as the server's were. Beside the shares stand the cores that the client took,
and the share by processor time: what a call costs the engine alone over what a request costs the
server, which no client and no neighbour can change much.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engine_alone import engine_rate, lanes_rate, opened_tasks
from benchmarks.http_load import Call, load, mixed_calls
from benchmarks.results import Result, Target, arguments, finish, machine_facts
from benchmarks.server import Server, serving
from serving.opening import Opened

Round = dict[str, float]
REACH, CROWD = 0.90, 16
NOTES = (
    "`engine` is encode, run and decode in batches of 32 calls: the better of one batch after the "
    "other, dealt to all cores, and of one caller for each lane.",
    "`alike` is the engine alone in batches of as many calls as the server's held "
    "(`calls_per_batch`), one caller for each lane: between it and HTTP lies the server, the "
    "rest of what the share lacks is the size of the batches.",
    "`client_cores` is what the client took of the cores that server and engine share.",
    "`share_by_cpu` is the engine's processor time per call over the server's per request: the "
    "share that would be left if the client ran elsewhere.",
)


def cpu_s(server: Server) -> float:
    """Processor seconds that a server's process has used so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def num_batches(server: Server) -> float:
    """Forwards that a server has run so far."""
    return sum(server.metric("polyhead_batch_rows_count").values())


def one_round(
    server: Server, opened: Opened, calls: Sequence[Call], count: int, options: argparse.Namespace
) -> Round:
    """The engine alone, then so many connections over HTTP, then the engine in like batches."""
    alone = engine_rate(opened, calls, options.rows, options.seconds)
    began_s, first = cpu_s(server), num_batches(server)
    found = load(server.url, count, options.seconds, calls)
    server_ms = 1000 * (cpu_s(server) - began_s) / found["num_requests"]
    size = found["num_requests"] / (num_batches(server) - first)
    alike = lanes_rate(opened, calls, max(1, round(size)), options.seconds / 2)
    return {
        **{f"http_{name}": found[name] for name in ("requests_per_s", "p50_ms", "p99_ms")},
        **alone,
        "errors": found["num_errors"],
        "client_cores": found["client_cores"],
        "server_cpu_ms": server_ms,
        "calls_per_batch": size,
        "alike": alike,
        "share_of_engine": found["requests_per_s"] / alone["engine"],
        "share_of_alike": found["requests_per_s"] / alike,
        "share_by_cpu": alone["engine_cpu_ms"] / server_ms,
    }


def measure(dtype: str, options: argparse.Namespace, state: Path) -> dict[int, list[Round]]:
    """All rounds of one dtype, by connections."""
    found: dict[int, list[Round]] = {count: [] for count in options.connections}
    with (
        serving(Path(options.tasks), state, dtype=dtype) as server,
        opened_tasks(options.tasks, dtype) as opened,
    ):
        calls = mixed_calls(opened, options.calls)
        engine_rate(opened, calls, options.rows, 1.0)
        load(server.url, 8, 1.0, calls)
        for _ in range(options.rounds):
            for count in options.connections:
                found[count].append(one_round(server, opened, calls, count, options))
    return found


def medians(rounds: Sequence[Round]) -> Round:
    """The median over rounds of every figure."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def result(found: dict[str, dict[int, list[Round]]], options: argparse.Namespace) -> Result:
    """Medians, shares and targets of all dtypes."""
    contenders, ratios, targets = {}, {}, []
    for dtype, by_count in found.items():
        for count, rounds in by_count.items():
            name, figures = f"{dtype}, {count} connections", medians(rounds)
            contenders[name] = figures
            ratios[f"share of the engine alone: {name}"] = figures["share_of_engine"]
            ratios[f"share of the engine in like batches: {name}"] = figures["share_of_alike"]
            if count >= CROWD:
                measure = f"over HTTP, of the engine alone: {name}"
                targets.append(Target(measure, REACH, figures["share_of_engine"]))
    return Result("http_share", options.rounds, contenders, ratios, targets, notes=NOTES)


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--tasks", default="examples/tasks.yaml")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each part of a round")
    parser.add_argument("--calls", type=int, default=768, help="distinct calls")
    parser.add_argument("--rows", type=int, default=32, help="calls per batch of the engine alone")
    options = parser.parse_args()
    machine = machine_facts()
    with tempfile.TemporaryDirectory() as place:
        found = {dtype: measure(dtype, options, Path(place) / dtype) for dtype in options.dtypes}
    finish(result(found, options), machine, options.output)


if __name__ == "__main__":
    main()
