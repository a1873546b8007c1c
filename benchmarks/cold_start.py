"""What a cold start costs: its own first request, and the warm tasks beside it.

    python -m benchmarks.cold_start [--starts 40] [--rounds 5]

An admitted version is evicted from device and host memory and asked again: the time over that of
the next, warm request is what reading it from disk and uploading it adds. Then warm tasks are under
load by turns alone and beside a client that evicts and asks another version without pause.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.http_load import load
from benchmarks.many_tasks import write_tasks, zipf_calls
from benchmarks.server import Server, serving

_WARM = 5
_TEXT = {"inputs": "A warm, funny and beautifully acted film."}


def asked_ms(server: Server, task: str) -> tuple[float, str]:
    """Milliseconds of one request, and where the weights were."""
    began_s = time.perf_counter()
    status, headers, content = server.call("POST", f"/models/{task}", _TEXT)
    if status != 200:
        raise SystemExit(f"{task} answered {status}: {content}")
    return 1000 * (time.perf_counter() - began_s), headers["x-adapter-residency"]


def evict(server: Server, task: str) -> None:
    """Take a task's version out of memory."""
    version = server.call("GET", f"/tasks/{task}")[2]["version"]
    status, _, content = server.call("POST", f"/tasks/{task}/versions/{version}:evict")
    if status >= 300:
        raise SystemExit(f"Evicting {task} gave {status}: {content}")


def cold_starts(server: Server, tasks: list[str], count: int) -> dict[str, Any]:
    """Cold requests and the warm ones after them, at rest."""
    cold, warm, places = [], [], set()
    for number in range(count):
        task = tasks[number % len(tasks)]
        evict(server, task)
        took_ms, place = asked_ms(server, task)
        cold.append(took_ms)
        places.add(place)
        warm.append(min(asked_ms(server, task)[0] for _ in range(3)))
    added = [one - other for one, other in zip(cold, warm, strict=True)]
    return {
        "residency_seen": sorted(places),
        "warm_ms_median": round(statistics.median(warm), 2),
        "cold_ms_median": round(statistics.median(cold), 2),
        "added_ms_median": round(statistics.median(added), 2),
        "added_ms_max": round(max(added), 2),
    }


def beside(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """p95 of warm tasks alone and beside cold starts, by turns."""
    alone, together, num_starts = [], [], 0
    tasks = [f"t{number}" for number in range(_WARM, options.tasks)]
    for number in range(options.rounds):
        calls = zipf_calls(2048, _WARM, 1.0, number)
        for is_cold in (False, True) if number % 2 else (True, False):
            stop = threading.Event()
            counted: list[int] = []
            disturber = threading.Thread(
                target=disturb, args=(server, tasks, stop, counted, options.pause)
            )
            if is_cold:
                disturber.start()
            found = load(server.url, options.connections, options.seconds, calls)
            stop.set()
            if is_cold:
                disturber.join()
            num_starts += len(counted)
            (together if is_cold else alone).append(found["p95_ms"])
    ratios = [one / other for one, other in zip(together, alone, strict=True)]
    return {
        "cold_starts_beside": num_starts,
        "p95_ms_alone": [round(each, 1) for each in alone],
        "p95_ms_beside_cold_starts": [round(each, 1) for each in together],
        "p95_ratio_median": round(statistics.median(together) / statistics.median(alone), 3),
        "p95_ratio_of_rounds_median": round(statistics.median(ratios), 3),
    }


def disturb(
    server: Server, tasks: list[str], stop: threading.Event, counted: list[int], pause_s: float
) -> None:
    """Cold starts one after the other."""
    number = 0
    while not stop.is_set():
        task = tasks[number % len(tasks)]
        evict(server, task)
        asked_ms(server, task)
        number += 1
        counted.append(number)
        stop.wait(pause_s)


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--starts", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between cold starts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = write_tasks(Path(place), options.tasks, options.tasks)
        with serving(folder, Path(place) / "state") as server:
            tasks = [f"t{number}" for number in range(options.tasks)]
            for task in tasks:
                asked_ms(server, task)
            found = {
                "at_rest": cold_starts(server, tasks, options.starts),
                "under_load": beside(server, options),
            }
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
