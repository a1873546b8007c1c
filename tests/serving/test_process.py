"""A real process on a real port: clients that leave, and a graceful end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
Start = Callable[[float, float], tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers and ends them."""
    started: list[subprocess.Popen[str]] = []

    def begin(run_s: float, notice_s: float) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "tests.serving.fake_server", str(run_s), str(notice_s)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, process.communicate()
        return process, found[0]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """One client for all threads: making one takes longer than a request."""
    with httpx.Client(timeout=20, trust_env=False, verify=False) as client:
        yield client


def post(client: httpx.Client, url: str) -> httpx.Response:
    """One request."""
    return client.post(f"{url}/models/topic", json={"inputs": "a b"})


def test_sigterm_answers_what_is_inside_and_refuses_the_rest(
    start: Start, client: httpx.Client
) -> None:
    """Invariant 7: no lost request when the process is told to stop, and exit 0."""
    process, url = start(0.4, 2.0)
    with ThreadPoolExecutor(8) as threads:
        inside = [threads.submit(post, client, url) for _ in range(6)]
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        late = threads.submit(post, client, url).result()
    assert [future.result().status_code for future in inside] == [200] * 6
    assert (late.status_code, late.json()["code"]) == (503, "draining")
    assert "retry-after" in late.headers
    assert process.wait(10) == 0


def test_interrupt_leaves_at_once_when_idle(start: Start) -> None:
    """Somebody sits at the terminal."""
    process, _ = start(0.0, 30.0)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0


HUB = ("/models/topic", b'{"inputs": "gone"}')
OIP = (
    "/v2/models/topic/infer",
    b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["gone"]}]}',
)


@pytest.mark.parametrize(("path", "body"), (HUB, OIP), ids=("hub", "oip"))
def test_rows_of_clients_that_left_do_not_run(
    start: Start, client: httpx.Client, path: str, body: bytes
) -> None:
    """Queued work of a closed connection is dropped, the server goes on."""
    _, url = start(0.5, 0.0)
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(post, client, url)
        time.sleep(0.2)
        for _ in range(5):
            with socket.create_connection((host, int(port))) as leaving:
                leaving.sendall(head + body)
                time.sleep(0.02)
        assert first.result().status_code == 200
    metrics = client.get(f"{url}/metrics").text
    assert 'polyhead_errors_total{code="client_gone",task="topic"} 5.0' in metrics
    assert "polyhead_batch_rows_sum 1.0" in metrics


def test_second_server_on_the_port_is_refused_in_one_line(start: Start, tmp_path: Path) -> None:
    """Port taken: one line, exit 2, no traceback."""
    _, url = start(0.0, 0.0)
    (tmp_path / "t.yaml").write_text("backbone: x\ntasks: []")
    command = [sys.executable, "-m", "serving.cli", "serve", "--port", url.rsplit(":", 1)[1]]
    done = subprocess.run(
        [*command, "--tasks", str(tmp_path / "t.yaml")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--port" in done.stderr


def test_metrics_tell_as_many_tasks_apart_as_the_setting_says(
    start: Start, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting reaches the recorder of a real server."""
    monkeypatch.setenv("POLYHEAD_MAX_TASK_LABELS", "1")
    _, url = start(0.0, 0.0)
    for task in ("topic", "spam"):
        assert client.post(f"{url}/models/{task}", json={"inputs": "a"}).status_code == 200
    metrics = client.get(f"{url}/metrics").text
    assert 'polyhead_requests_total{status="200",task="topic"} 1.0' in metrics
    assert 'polyhead_requests_total{status="200",task="_other"} 1.0' in metrics
    assert "spam" not in metrics
