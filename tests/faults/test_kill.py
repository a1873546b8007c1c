"""A server is killed in the middle of everything, and another one takes over."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from benchmarks.variants import TEXTS
from tests.faults.canary import roll_back_bad_canary
from tests.faults.conftest import Variant
from tests.faults.site import SENTIMENT, Site, is_from, site, until
from tests.hub import Hub, serve

WEIGHTS = "adapter.safetensors"
SLOW = 60_000
LEAST = 4
NUM_SWAPS = 8


@dataclass
class Life:
    """What a server's clients know when it dies.

    Args:
        place: catalog, state, cache and log.
        hub: where one task was being fetched from.
        acknowledged: tasks whose making was confirmed.
        swaps: numbers of the variants that were confirmed as versions of one task.
        statuses: of what was asked meanwhile.
    """

    place: Path
    hub: Hub
    acknowledged: list[str] = field(default_factory=list)
    swaps: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def catalog(self) -> Path:
        return self.place / "catalog"

    @property
    def variables(self) -> Mapping[str, str]:
        return {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.place / "hf")}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, variants: Sequence[Variant]) -> Iterator[Life]:
    """A server's life up to its kill: PUTs, a replacement under load, and a download go on."""
    content = {path.name: path.read_bytes() for path in variants[9].folder.iterdir()}
    hub = Hub({"org/slow": content})
    with serve(hub):
        life = Life(tmp_path_factory.mktemp("life"), hub)
        life.catalog.mkdir()
        with site(life.catalog, life.place, "killed", life.variables) as server:
            roll_back_bad_canary(server, "canary", variants[1].folder)
            spoiled = shutil.copytree(variants[2].folder, life.place / "spoiled")
            server.make("spoiled", "1", spoiled)
            server.make("swapped", "0", variants[0].folder)
            with busy(life, server, variants):
                until(lambda: len(life.acknowledged) >= LEAST and len(life.swaps) >= LEAST)
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
        weights = (spoiled / WEIGHTS).read_bytes()
        (spoiled / WEIGHTS).write_bytes(weights[: len(weights) // 2])
        yield life


@contextmanager
def busy(life: Life, server: Site, variants: Sequence[Variant]) -> Iterator[None]:
    """A download has begun, and tasks are made, replaced and asked until the server is gone."""
    slow = life.hub.fail("slow", on=WEIGHTS, value=SLOW)
    entry = {"adapter": "hf://org/slow", "pinned": True}
    (life.catalog / "fetched.yaml").write_text(yaml.safe_dump(entry))
    until(lambda: WEIGHTS in life.hub.fetched())
    slow.times = 0
    work = [lambda: make(life, server), lambda: swap(life, server, variants)]
    work += [lambda: ask(life, server)] * 2
    threads = [threading.Thread(target=until_gone, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def until_gone(work: Callable[[], None]) -> None:
    """Work that ends when the server does."""
    with suppress(httpx.TransportError):
        while True:
            work()


def make(life: Life, server: Site) -> None:
    task = f"made-{len(life.acknowledged)}"
    if server.put(task, adapter=SENTIMENT, id="1").status_code == 201:
        life.acknowledged.append(task)


def swap(life: Life, server: Site, variants: Sequence[Variant]) -> None:
    number = 1 + len(life.swaps)
    if server.put("swapped", **swapped(number, variants)).status_code == 200:
        life.swaps.append(number)


def swapped(number: int, variants: Sequence[Variant]) -> dict[str, str]:
    """The entry of one of the versions that follow each other."""
    return {"adapter": str(variants[number % NUM_SWAPS].folder), "id": str(number)}


def ask(life: Life, server: Site) -> None:
    life.statuses.append(server.ask("swapped").status_code)


@pytest.fixture(scope="module")
def server(life: Life) -> Iterator[Site]:
    """The server that takes over."""
    with site(life.catalog, life.place, "restarted", life.variables) as running:
        yield running


def test_every_task_file_is_whole(life: Life) -> None:
    """Whatever was being written when the server died."""
    files = list(life.catalog.glob("*.yaml"))
    assert len(files) >= 4 + len(life.acknowledged)
    for file in files:
        assert isinstance(yaml.safe_load(file.read_text()), dict), file
    assert set(life.statuses) == {200}


def test_what_was_confirmed_is_served(life: Life, server: Site) -> None:
    """No more than the change that nobody heard of may be there beside it."""
    names = {name for name in server.tasks() if name.startswith("made-")}
    assert set(life.acknowledged) <= names
    assert len(names) <= len(life.acknowledged) + 1
    for task in (life.acknowledged[0], life.acknowledged[-1]):
        answer = server.ask(task)
        assert (answer.status_code, answer.headers["x-task-version"]) == (200, "1")


def test_a_replaced_task_answers_as_its_last_confirmed_version(
    life: Life, server: Site, variants: Sequence[Variant]
) -> None:
    """Or as the one that was on its way."""
    answer = server.ask("swapped")
    number = int(answer.headers["x-task-version"])
    assert number in (life.swaps[-1], life.swaps[-1] + 1)
    assert is_from(answer, variants[number % NUM_SWAPS].answers[0])


def test_a_download_is_finished_by_the_next_server(
    server: Site, variants: Sequence[Variant]
) -> None:
    """What the killed one had fetched harms nobody."""
    assert is_from(server.ask("fetched", TEXTS[1]), variants[9].answers[1])


def test_files_corrupted_meanwhile_are_refused_and_said_to_be(server: Site) -> None:
    """On the task's page and in the list of all."""
    assert server.ask("spoiled").status_code == 424
    shown = server.tasks()["spoiled"]
    assert shown["state"] == "rejected"
    assert shown["reason"]
    assert server.ask("swapped").status_code == 200


def test_a_version_that_was_rolled_back_stays_so(server: Site) -> None:
    """The rule that tripped is in the task file."""
    assert {server.ask("canary").headers["x-task-version"] for _ in range(10)} == {"1"}


def test_leftovers_are_cleared_away(life: Life, server: Site) -> None:
    """By the next change."""
    (life.catalog / ".made-0.yaml.1-00000000.tmp").write_text("half a")
    server.make("after", "1")
    assert not list(life.catalog.glob("*.tmp")) + list(life.catalog.glob(".*.tmp"))
