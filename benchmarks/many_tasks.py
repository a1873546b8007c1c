"""A thousand tasks with Zipf traffic and room for a hundred, against five tasks that all fit.

    python -m benchmarks.many_tasks [--tasks 1000] [--slots 100] [--connections 32]

Two servers with the same settings take turns under the same kind of load, so that a busy neighbour
slows both alike. Before it counts, every task is asked once: what is measured is serving and
loading, not the first checks. The tail is looked at by itself: tasks that are asked seldom must be
answered too, and soon.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import yaml

from benchmarks.http_load import load, text
from benchmarks.server import Server, serving
from benchmarks.variants import write_variant

Call = tuple[str, Any]


def write_tasks(place: Path, count: int, num_adapters: int) -> Path:
    """A folder of task files; adapters are all distinct."""
    folder = place / f"tasks-{count}"
    folder.mkdir()
    for number in range(count):
        adapter = place / "adapters" / f"v{number}"
        if number < num_adapters and not adapter.exists():
            write_variant(adapter, number)
        entry = {"name": f"t{number}", "adapter": str(adapter)}
        (folder / f"t{number}.yaml").write_text(yaml.safe_dump(entry))
    return folder


def zipf_calls(count: int, num_tasks: int, exponent: float, seed: int) -> list[Call]:
    """Calls whose tasks follow Zipf's law; no text twice, for equal rows would be shared."""
    chance = random.Random(seed)
    weights = [1 / (rank + 1) ** exponent for rank in range(num_tasks)]
    names = chance.choices(range(num_tasks), weights, k=count)
    return [(f"t{name}", text(chance)) for name in names]


def touch_all(server: Server, count: int) -> float:
    """Ask every task once; seconds that it took."""
    began_s = time.perf_counter()

    def ask(number: int) -> int:
        return server.call("POST", f"/models/t{number}", {"inputs": "A film."})[0]

    with ThreadPoolExecutor(8) as threads:
        statuses = set(threads.map(ask, range(count)))
    if statuses != {200}:
        raise SystemExit(f"The tasks answered {statuses}.")
    return time.perf_counter() - began_s


def tail(server: Server, count: int, asked: int) -> dict[str, float]:
    """Latency of tasks from the last tenth while the rest is under load; milliseconds."""
    chance, found = random.Random(5), []
    for _ in range(asked):
        number, began_s = chance.randrange(count * 9 // 10, count), time.perf_counter()
        status, _, content = server.call("POST", f"/models/t{number}", {"inputs": text(chance)})
        if status != 200:
            raise SystemExit(f"t{number} answered {status}: {content}")
        found.append(1000 * (time.perf_counter() - began_s))
    return {"p50_ms": statistics.median(found), "max_ms": max(found)}


def measure(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Both servers by turns."""
    folders = [write_tasks(place, count, options.tasks) for count in (options.tasks, 5)]
    settings = {"max_slots": options.slots, "load_threads": 4}
    began_s = time.perf_counter()
    with (
        serving(folders[0], place / "many", **settings) as many,
        serving(folders[1], place / "few", **settings) as few,
    ):
        started_s = time.perf_counter() - began_s
        touched_s = touch_all(many, options.tasks)
        touch_all(few, 5)
        rounds = [one_round(many, few, options, number) for number in range(options.rounds)]
        with ThreadPoolExecutor(1) as thread:
            calls = zipf_calls(4096, options.tasks, options.exponent, 99)
            loaded = thread.submit(load, many.url, options.connections, options.seconds, calls)
            time.sleep(0.5)
            seldom = tail(many, options.tasks, 20)
            loaded.result()
        names = ("polyhead_resident_adapters", "polyhead_evictions_total", "polyhead_loads_total")
        metrics = {name: many.metric(name) for name in names}
        memory = {"many": many.memory_mib(), "five": few.memory_mib()}
    return {
        "tasks": options.tasks,
        "slots": options.slots,
        "start_s": round(started_s, 1),
        "first_use_of_all_s": round(touched_s, 1),
        "throughput_ratio": round(
            rate(rounds, "many") / rate(rounds, "five"),
            3,
        ),
        "errors": sum(each["many"]["num_errors"] + each["five"]["num_errors"] for each in rounds),
        "rounds": rounds,
        "tail_under_load": seldom,
        "memory_mib": memory,
        "metrics": metrics,
    }


def rate(rounds: Sequence[dict[str, Any]], name: str) -> float:
    """Median requests a second; whoever goes first in a round is often the faster one."""
    return statistics.median(each[name]["requests_per_s"] for each in rounds)


def one_round(
    many: Server, few: Server, options: argparse.Namespace, number: int
) -> dict[str, Any]:
    """One turn of each, the order changing."""
    calls: dict[str, Sequence[Call]] = {
        "many": zipf_calls(4096, options.tasks, options.exponent, number),
        "five": zipf_calls(4096, 5, options.exponent, number),
    }
    servers = {"many": many, "five": few}
    found: dict[str, Any] = {}
    for name in sorted(servers, reverse=bool(number % 2)):
        found[name] = load(servers[name].url, options.connections, options.seconds, calls[name])
    found["ratio"] = found["many"]["requests_per_s"] / found["five"]["requests_per_s"]
    return found


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=100)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=6, help="even, so that each goes first")
    parser.add_argument("--exponent", type=float, default=1.0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as place:
        found = measure(options, Path(place))
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    raise SystemExit(1 if found["errors"] else 0)


if __name__ == "__main__":
    main()
