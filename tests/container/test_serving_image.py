"""The image serves as an engine would start it, and ends without losing a request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.building import Image
from tests.container.jail import children, jailed, running_image
from tests.running import Running

pytestmark = pytest.mark.timeout(1500)
CLIENTS = 12
TASKS = ("sentiment", "spam", "intent", "embed")
FULLY_LOADED = 60
"""Answers after which the clients are at it."""


@pytest.fixture
def server(image: Image, cache: Path, tmp_path: Path) -> Iterator[Running]:
    """The image's server, with the demo that it brings."""
    with running_image(image, cache, tmp_path / "server.log") as running:
        yield running


def test_it_answers_as_an_unprivileged_user(server: Running, cache: Path) -> None:
    """A prediction comes from process 1, which runs as nobody in particular and may do nothing."""
    body = json.dumps({"inputs": "A warm and funny film."}).encode()
    with urllib.request.urlopen(f"{server.url}/models/sentiment", body, timeout=60) as answer:
        labels = json.loads(answer.read())[0]
    assert "positive" == labels[0]["label"]
    (number,) = children(server.process.pid)
    status = Path(f"/proc/{number}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert ["10001"] * 4 == facts["Uid"].split()
    assert "1" == facts["NSpid"].split()[-1]
    assert 0 == int(facts["CapEff"], 16)
    assert (cache / "polyhead").is_dir()


def test_the_health_check_says_yes_and_no(server: Running, image: Image, cache: Path) -> None:
    """The image's own check succeeds beside a server that runs, and fails beside none."""
    port = server.address.rpartition(":")[2]
    check = image.config["Healthcheck"]["Test"][1:]
    fine = subprocess.run(jailed(image, cache, check, {"POLYHEAD_PORT": port}), check=False)
    assert 0 == fine.returncode
    broken = jailed(image, cache, check, {"POLYHEAD_PORT": "9"})
    assert 1 == subprocess.run(broken, capture_output=True, check=False).returncode


def keep_asking(server: Running, task: str, seen: list[str], until_s: float) -> None:
    """One client that asks until it is refused at the door; notes how each request ended."""
    while time.monotonic() < until_s:
        connection = http.client.HTTPConnection(server.address, timeout=60)
        try:
            connection.connect()
        except OSError:
            return
        try:
            connection.request("POST", f"/models/{task}", json.dumps({"inputs": "some words"}))
            answer = connection.getresponse()
            answer.read()
            waits = "" if answer.status == 200 else f" after {answer.getheader('retry-after')} s"
            seen.append(f"{answer.status}{waits}")
        except (http.client.HTTPException, OSError) as error:
            seen.append(f"lost: {error!r}")
        finally:
            connection.close()


def test_sigterm_under_load_loses_nothing(server: Running) -> None:
    """Told to stop, it answers who is inside, tells newcomers when to retry, and exits with 0."""
    seen: list[str] = []
    until_s = time.monotonic() + 60
    threads = [
        threading.Thread(
            target=keep_asking, args=(server, TASKS[number % len(TASKS)], seen, until_s)
        )
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    while len(seen) < FULLY_LOADED and time.monotonic() < until_s:
        time.sleep(0.05)
    os.kill(*children(server.process.pid), signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert 0 == server.process.wait(30)
    ends = Counter(seen)
    assert ends.pop("200") >= FULLY_LOADED
    assert ends
    assert all(end.startswith("503 after ") and "None" not in end for end in ends), ends
