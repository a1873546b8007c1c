"""Stopping the real server while clients are at it."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.running import ROOT, Running, running_server

TASKS = ("sentiment", "spam", "intent", "embed")


@pytest.fixture
def server(tmp_path: Path):
    """A demo server that the test may stop."""
    with running_server(ROOT / "examples" / "tasks.yaml", tmp_path / "server.log") as running:
        yield running


def keep_asking(server: Running, task: str, seen: list[int | str], until_s: float) -> None:
    """One client that asks until the port is closed; notes each status, and each lost answer."""
    while time.monotonic() < until_s:
        connection = http.client.HTTPConnection(server.address, timeout=30)
        try:
            connection.connect()
        except OSError:
            return
        try:
            body = json.dumps({"inputs": "a text of a few words"})
            connection.request("POST", f"/models/{task}", body)
            seen.append(connection.getresponse().status)
        except (http.client.HTTPException, OSError) as error:
            seen.append(f"lost: {error!r}")
        finally:
            connection.close()


def test_sigterm_under_load_loses_no_request(server: Running) -> None:
    """What is inside is answered, what is new gets 503, and the exit code is 0."""
    seen: list[int | str] = []
    until_s = time.monotonic() + 25
    clients = [
        threading.Thread(target=keep_asking, args=(server, TASKS[number % 4], seen, until_s))
        for number in range(12)
    ]
    for thread in clients:
        thread.start()
    time.sleep(2)
    num_before = len(seen)
    server.process.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join()
    assert server.process.wait(20) == 0
    assert num_before > 0
    assert set(seen) == {200, 503}, [status for status in seen if status not in (200, 503)]
