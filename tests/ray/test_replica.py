"""A replica, asked as Ray asks it: plain values in, plain values out."""

from __future__ import annotations

import gc
import logging
import pickle
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.ray_serve.replica import Replica
from deploy.ray_serve.router import REFUSED, RESIDENT
from deploy.ray_serve.scaling import QUEUED_TOKENS
from serving.errors import Refusal
from serving.service import Answer, Call
from serving.settings import Settings
from serving.views import TaskView
from tests.serving.fake_engine import FakeEngine


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Two tasks, and one whose entry is broken."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "topic.yaml").write_text("adapter: ./a/topic\n")
    (folder / "other.yaml").write_text("adapter: ./a/other\n")
    (folder / "broken.yaml").write_text("adapter: [1\n")
    return folder


@pytest.fixture
def untouched() -> Iterator[None]:
    """Gives back what a replica changes of its process: logs, switch interval, collector."""
    root, interval_s = logging.getLogger(), sys.getswitchinterval()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.setswitchinterval(interval_s)
    gc.unfreeze()


@pytest.fixture
async def replica(catalog: Path, untouched: None) -> AsyncIterator[Replica]:
    """A replica over an engine without torch, started as Ray starts it."""
    settings = Settings(tasks=str(catalog), backbone="fake", state_dir=str(catalog.parent / "s"))
    made = Replica.__new__(Replica)
    await made.__init__(settings, lambda source, config: FakeEngine())  # type: ignore[misc]
    yield made
    await made.close()


async def test_answers_and_errors_are_plain_values(replica: Replica) -> None:
    """Both survive the way to another process."""
    answer = await replica.answer(Call("topic", ["one two"]))
    refused = await replica.answer(Call("nope", ["x"]))
    assert isinstance(answer, Answer)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (404, "unknown_task")
    assert pickle.loads(pickle.dumps((answer, refused))) == (answer, refused)


async def test_it_tells_routers_where_tasks_stand(replica: Replica) -> None:
    """Resident is what is on the device; refused is what it cannot answer."""
    assert await replica.record_routing_stats() == {RESIDENT: [], REFUSED: ["broken"]}
    await replica.answer(Call("topic", ["one two"]))
    assert (await replica.record_routing_stats())[RESIDENT] == ["topic"]


async def test_it_tells_the_autoscaler_what_waits(replica: Replica) -> None:
    """A number, as Ray wants it."""
    assert await replica.record_autoscaling_stats() == {QUEUED_TOKENS: 0.0}


async def test_it_looks_at_the_catalog_when_told_to(replica: Replica, catalog: Path) -> None:
    """What another process has written is there at once."""
    (catalog / "fresh.yaml").write_text("adapter: ./a/fresh\n")
    await replica.look()
    assert "fresh" in await replica.names()
    assert isinstance(await replica.task("fresh"), TaskView)


async def test_it_is_warm_when_it_takes_requests(replica: Replica) -> None:
    """Ray sends none before the constructor has returned."""
    vitals = await replica.vitals()
    assert vitals["is_warm"]
    assert "device" in vitals["facts"]


async def test_health_is_told_in_words_that_reach_ray(replica: Replica) -> None:
    """A device that computes is healthy; our own errors would not survive the way."""
    await replica.check_health()
    assert await replica.check() is None
