"""`polyhead bench` against a real server."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import httpx

from serving.commands.loading import calls_to
from tests.commands.conftest import Secured
from tests.commands.started import Started, polyhead, started_server
from tests.running import POLYHEAD, free_port, settings


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


def test_bench_tells_what_a_server_answered_before_it_was_lost(tmp_path: Path) -> None:
    """Its figures are of that time; the command ends with 2."""
    with started_server(tmp_path, {}) as server:
        command = [str(POLYHEAD), "bench", server.url, "--seconds", "30", "--json"]
        with subprocess.Popen(
            command, env=settings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as bench:
            until_answering(server.url)
            server.process.kill()
            printed, said = bench.communicate(timeout=20)
    figures = json.loads(printed)
    assert bench.returncode == 2
    assert figures["requests"] > 50
    assert figures["seconds"] < 30
    assert b"was lost after" in said
    assert b"Traceback" not in said


def until_answering(url: str) -> None:
    """Wait until a hundred requests were answered."""
    until_s = time.monotonic() + 20
    counted = r"polyhead_requests_total\{[^}]*\} (\d+)"
    while sum(map(int, re.findall(counted, httpx.get(f"{url}/metrics").text))) < 100:
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_made_texts_never_come_twice() -> None:
    """Equal rows would be computed once."""
    bodies = [body for _, body in calls_to([{"name": "a", "kind": "fill-mask"}], None, 20)]
    assert len(set(bodies)) == len(bodies)
