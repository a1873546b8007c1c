"""`polyhead bench` against a real server."""

from __future__ import annotations

import json

from serving.commands.loading import calls_to
from tests.commands.conftest import Secured
from tests.commands.started import Started, polyhead
from tests.running import free_port


def test_bench_tells_rate_and_latencies_of_all_tasks(plain: Started) -> None:
    """Whatever their kinds; all are answered."""
    done = polyhead("bench", plain.url, "--seconds", "0.3", "--connections", "3", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["tasks"], figures["connections"], figures["refused"]) == (3, 3, {})
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["requests"] > 3


def test_bench_reads_well(secured: Secured) -> None:
    """One task with a key, under TLS."""
    options = ["--cacert", secured.authority.file, "--key", secured.keys.secrets["topics"]]
    done = polyhead("bench", secured.url, "--task", "topic", "--seconds", "0.2", *options)
    assert done.returncode == 0, done.stderr
    assert "requests/s" in done.stdout.splitlines()[0]
    assert "1 tasks, 16 connections" in done.stdout


def test_bench_says_what_it_cannot_do(plain: Started, secured: Secured) -> None:
    """No task of that name, an input that is refused, no key, no server."""
    missing = polyhead("bench", plain.url, "--task", "nobody")
    assert (missing.returncode, "There is no task nobody" in missing.stderr) == (2, True)
    wrong = polyhead("bench", plain.url, "--task", "topic", "--input", '{"x": 1}')
    assert wrong.returncode == 1
    assert not wrong.stdout
    keyless = polyhead("bench", secured.url, "--cacert", secured.authority.file)
    assert (keyless.returncode, "A key is needed here" in keyless.stderr) == (1, True)
    gone = polyhead("bench", f"http://127.0.0.1:{free_port()}")
    assert (gone.returncode, "is the server running" in gone.stderr) == (2, True)


def test_made_texts_never_come_twice() -> None:
    """Equal rows would be computed once."""
    bodies = [body for _, body in calls_to([{"name": "a", "kind": "fill-mask"}], None, 20)]
    assert len(set(bodies)) == len(bodies)
