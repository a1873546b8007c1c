"""Replace a task again and again under load: nothing may fail, nothing may be wrong.

    python -m benchmarks.hot_swap [--replacements 100] [--clients 16]

Each version has weights of its own, so an answer shows which version gave it; every answer is held
against what the version named in its `x-task-version` header answers when it is alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from benchmarks.server import BACKBONE, Server, serving
from benchmarks.variants import TEXTS, TOLERANCE, expected_answers, write_variants

TASK = "swapped"
_SETTLE_S = 10.0
_SAMPLES = 10
Answers = Sequence[dict[str, float]]


@dataclass
class Seen:
    """What the clients saw."""

    latencies_s: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def ask(url: str, expected: dict[str, Answers], stop: threading.Event, seen: Seen) -> None:
    """One client: asks until told to stop, on one connection."""
    place, number = urlsplit(url), 0
    connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
    while not stop.is_set():
        number = (number + 1) % len(TEXTS)
        body, began_s = orjson.dumps({"inputs": TEXTS[number]}), time.perf_counter()
        connection.request("POST", f"/models/{TASK}", body)
        response = connection.getresponse()
        content, version = orjson.loads(response.read()), response.getheader("x-task-version") or ""
        seen.latencies_s.append(time.perf_counter() - began_s)
        seen.versions[version] += 1
        if response.status != 200:
            seen.failures.append(f"{response.status} {content}")
        elif not agrees(content[0], expected[version][number]):
            seen.failures.append(f"{version} answered {content} to text {number}")
    connection.close()


def agrees(answer: list[dict[str, float]], expected: dict[str, float]) -> bool:
    """Whether every label has the score that its version gives alone."""
    found = {each["label"]: each["score"] for each in answer}
    return found.keys() == expected.keys() and all(
        abs(found[label] - score) <= TOLERANCE for label, score in expected.items()
    )


def put(server: Server, version: str, folder: Path) -> None:
    """Replace the task and wait until the new version is ready."""
    entry = {"adapter": str(folder), "id": version}
    status, _, content = server.call("PUT", f"/tasks/{TASK}", entry)
    if status not in (200, 201):
        raise SystemExit(f"PUT gave {status}: {content}")
    if server.wait_for(TASK, version) != "ready":
        raise SystemExit(f"Version {version} was rejected: {server.call('GET', '/tasks/' + TASK)}")


def measure(options: argparse.Namespace, place: Path) -> dict[str, object]:
    """All replacements under load on a server of its own, and the figures."""
    folders = write_variants(place / "adapters", options.replacements + 1)
    answers = expected_answers(BACKBONE, folders)
    (place / "tasks").mkdir()
    with serving(place / "tasks", place / "state", dtype="float32") as server:
        return replace_under_load(server, folders, answers, options.clients, options.rest)


def replace_under_load(
    server: Server,
    folders: Sequence[Path],
    answers: Sequence[Answers],
    num_clients: int,
    rest_s: float,
) -> dict[str, object]:
    """Put one folder after the other as the task's next version while clients ask.

    Args:
        server: a running one that may be written to.
        folders: adapters with heads.
        answers: what each answers alone.
        num_clients: clients at once.
        rest_s: seconds of load before and after.
    """
    expected = {f"v{number}": answer for number, answer in enumerate(answers)}
    put(server, "v0", folders[0])
    with clients(server, expected, num_clients) as seen:
        time.sleep(rest_s)
        before, times_s = facts(server), []
        memory_mib = [before["memory_mib"]]
        for number in range(1, len(folders)):
            began_s = time.perf_counter()
            put(server, f"v{number}", folders[number])
            times_s.append(time.perf_counter() - began_s)
            wait_until(lambda newest=f"v{number}": newest in seen.versions)
            if number % max(1, len(folders) // _SAMPLES) == 0:
                memory_mib.append(round(server.memory_mib(), 1))
        time.sleep(rest_s)
    return {
        "replacements": len(times_s),
        "clients": num_clients,
        "requests": len(seen.latencies_s),
        "failed_or_wrong": len(seen.failures),
        "first_failures": seen.failures[:3],
        "versions_that_answered": len(seen.versions),
        "replacement_ms_median": round(1000 * statistics.median(times_s), 1),
        "latency_ms_p50": round(1000 * statistics.median(seen.latencies_s), 1),
        "latency_ms_max": round(1000 * max(seen.latencies_s), 1),
        "memory_mib_along": memory_mib,
        "before": before,
        "after": settled(server, before),
    }


@contextmanager
def clients(server: Server, expected: dict[str, Answers], count: int) -> Iterator[Seen]:
    """So many clients that ask for as long as the block lasts."""
    seen, stop = Seen(), threading.Event()
    arguments = (server.url, expected, stop, seen)
    threads = [threading.Thread(target=ask, args=arguments) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait until something is so, or for as long as anything should take."""
    until_s = time.monotonic() + _SETTLE_S
    while not is_true() and time.monotonic() < until_s:
        time.sleep(0.005)


def settled(server: Server, before: dict[str, object]) -> dict[str, object]:
    """The facts once what is resident is as before, or when that takes too long."""
    wait_until(lambda: facts(server)["resident_bytes"] == before["resident_bytes"])
    return facts(server)


def facts(server: Server) -> dict[str, object]:
    """Memory, file handles and what is resident."""
    return {
        "memory_mib": round(server.memory_mib(), 1),
        "files": server.num_files(),
        "resident_bytes": server.metric("polyhead_resident_bytes"),
    }


def main() -> None:
    """Run and print the figures; exit 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replacements", type=int, default=100)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rest", type=float, default=3.0, help="seconds of load before and after")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(options, Path(place))
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    raise SystemExit(1 if found["failed_or_wrong"] else 0)


if __name__ == "__main__":
    main()
