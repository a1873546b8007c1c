"""What the overlay for CPUs serves, by its own catalog and variables, and follows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from serving.catalog.files import open_store
from tests.catalog.test_watching import watched
from tests.kubernetes.manifests import OVERLAYS, overlay, variables
from tests.kubernetes.mounting import ConfigMapMount
from tests.running import ROOT, Running, running_server

OURS = ("POLYHEAD_HOST", "POLYHEAD_PORT", "POLYHEAD_TASKS", "POLYHEAD_STATE_DIR")
TEXT = "A warm, funny and beautifully acted film."
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
PAIR = {"source_sentence": "a cat", "sentences": ["a kitten", "a train"]}
WAIT_S = 30.0


def catalog() -> dict[str, str]:
    """The ConfigMap's files; the demo's adapters lie in the checkout instead of the image."""
    copied = re.search(r"^COPY examples (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert copied is not None
    (tasks,) = [
        each
        for each in overlay("cpu").of("ConfigMap")
        if each["metadata"]["name"] == "polyhead-tasks"
    ]
    here = str(ROOT / "examples")
    return {name: text.replace(copied[1], here) for name, text in tasks["data"].items()}


def given() -> dict[str, str]:
    """The container's variables, but for what is the machine's."""
    _, container = next(overlay("cpu").pods()[0].containers())
    found = variables(container).items()
    return {
        name: value for name, value in found if name.startswith("POLYHEAD_") and name not in OURS
    }


class Served(NamedTuple):
    """A server on a mounted ConfigMap."""

    server: Running
    mount: ConfigMapMount


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server as the Deployment starts it."""
    folder = tmp_path_factory.mktemp("pod")
    mount = ConfigMapMount(folder / "tasks", catalog())
    with running_server(mount.folder, folder / "server.log", variables=given()) as server:
        yield Served(server, mount)


def ask(served: Served, task: str, inputs: object) -> httpx.Response:
    return httpx.post(f"{served.server.url}/models/{task}", json={"inputs": inputs}, timeout=WAIT_S)


@contextmanager
def asking(served: Served) -> Iterator[set[int]]:
    """Asks one task again and again meanwhile; gives the statuses that it got."""
    stop = threading.Event()
    statuses: set[int] = set()

    def run() -> None:
        while not stop.is_set():
            statuses.add(ask(served, "similarity", PAIR).status_code)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join(WAIT_S)


def comes(served: Served, task: str, status: int) -> bool:
    """Whether a task comes to answer with a status."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        if ask(served, task, TEXT).status_code == status:
            return True
        time.sleep(0.1)
    return False


def test_every_task_of_the_config_map_answers(served: Served) -> None:
    """An adapter of the demo, and the backbone alone: nothing else has to be brought."""
    labels = ask(served, "sentiment", TEXT).json()[0]
    assert labels[0]["label"] == "positive"
    assert len(ask(served, "embed", TEXT).json()[0]) == 384
    nearer, farther = ask(served, "similarity", PAIR).json()
    assert nearer > farther
    assert {yaml.safe_load(text)["name"] for text in catalog().values()} == {
        task["name"] for task in httpx.get(f"{served.server.url}/tasks").json()["tasks"]
    }


@pytest.mark.parametrize("name", [name for name in OVERLAYS if "ray" not in name])
def test_every_probe_is_answered(served: Served, name: str) -> None:
    """By a server that is well; Ray's probes ask Ray."""
    (pod,) = overlay(name).pods()
    (container,) = (container for _, container in pod.containers())
    paths = [container[probe]["httpGet"]["path"] for probe in PROBES]
    statuses = [
        httpx.get(f"{served.server.url}{path}", timeout=WAIT_S).status_code for path in paths
    ]
    assert statuses == [200, 200, 200]


def test_every_task_is_a_model_of_the_open_protocol(served: Served) -> None:
    """As KServe's clients ask for it."""
    asked = httpx.get(f"{served.server.url}/v2/models/sentiment/ready", timeout=WAIT_S)
    assert asked.status_code == 200


def test_changed_config_map_is_followed_without_a_restart(served: Served) -> None:
    """One task comes, one goes, one moves to another file under load: nothing fails."""
    data = catalog()
    changed = {"sentiment.yaml": data["sentiment.yaml"], "alike.yaml": data["similarity.yaml"]}
    changed["mood.yaml"] = data["sentiment.yaml"].replace("name: sentiment", "name: mood")
    with asking(served) as statuses:
        served.mount.change(changed)
        assert comes(served, "mood", 200)
        assert comes(served, "embed", 404)
        served.mount.change(data)
        assert comes(served, "mood", 404)
        assert comes(served, "embed", 200)
    assert statuses == {200}


@pytest.mark.parametrize("poll_s", (0.1, 3600.0))
def test_single_file_of_a_config_map_is_followed(poll_s: float, tmp_path: Path) -> None:
    """`tasks.yaml` as the only key; the kernel tells of the turned link, and looking would do."""
    mount = ConfigMapMount(tmp_path / "tasks", {"tasks.yaml": "tasks: [{name: a}]"})
    with watched(mount.folder / "tasks.yaml", poll_s) as watcher:
        assert watcher.sees("a")
        mount.change({"tasks.yaml": "tasks: [{name: b}]"})
        assert watcher.sees("b")


def test_emptied_config_map_takes_its_tasks_away(tmp_path: Path) -> None:
    """The same mount without files is no volume that went away."""
    mount = ConfigMapMount(tmp_path / "tasks", {"a.yaml": "name: a"})
    store = open_store(str(mount.folder))
    assert [plan.name for plan in store.read().plans] == ["a"]
    mount.change({})
    assert store.read().plans == ()
