"""A hub or a store that hangs holds up its own tasks, and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from adapter_runtime import Leaf, Outline, Residency, TaskSpec, TaskVersion
from serving.catalog.plans import TaskPlan
from serving.errors import StillLoading
from serving.local_service import LocalService
from serving.service import Answer
from tests.lifecycle.living import Life, file_of, numbered, settled, task_plan, until, version_plan
from tests.lifecycle.requests import Living, ask, call, so
from tests.serving.fake_engine import FakeEngine


@dataclass
class FarEngine(FakeEngine):
    """Reading or loading a Source with `://` takes until somebody answers."""

    answers: threading.Event = field(default_factory=threading.Event)

    def read(self, spec: TaskSpec) -> TaskVersion:
        version = super().read(spec)
        self._ask(version)
        return version

    def load(self, version: TaskVersion) -> None:
        self._ask(version)
        super().load(version)

    def _ask(self, version: TaskVersion) -> None:
        if "://" in repr(version.composition):
            assert self.answers.wait(30)


@pytest.fixture
def engine() -> Iterator[FarEngine]:
    engine = FarEngine()
    yield engine
    engine.answers.set()


def far(place: str, name: str) -> TaskPlan:
    """A task whose files are at a place."""
    plan = version_plan("1", name=name)
    spec = replace(plan.spec, adapter=Leaf(f"{place}/{name}"))
    return task_plan(replace(plan, spec=spec))


HUB = tuple(far("hf://org", f"hub-{number}") for number in range(6))
STORE = tuple(far("s3://bucket", f"store-{number}") for number in range(6))


def test_what_lies_here_is_read_while_others_hang(engine: FarEngine) -> None:
    """Of each place so many tasks are read at once as there are threads for those from here."""
    life = Life(engine, *HUB, *STORE, numbered("1", name="here"))
    hanging = [life.admitter.start(life.task(plan.name).versions[0]) for plan in (*HUB, *STORE)]
    until(lambda: len(life.calls("read")) == 8)
    life.admit_first("here")
    asked = [name.partition("-")[0] for name in life.calls("read")]
    assert sorted(asked) == ["here", *["hub"] * 4, *["store"] * 4]
    engine.answers.set()
    for future in hanging:
        settled(future)
    assert all(task.versions[0].is_ready for task in life.tasks)


def test_places_that_hang_leave_room_however_many_they_are(engine: FarEngine) -> None:
    """The threads for those from here are never lent out."""
    stores = [far(f"s3://bucket-{number}", f"store-{number}") for number in range(30)]
    life = Life(engine, *stores, numbered("1", name="here"), threads=1)
    hanging = [life.admitter.start(life.task(plan.name).versions[0]) for plan in stores]
    until(lambda: len(life.calls("read")) == 3)
    life.admit_first("here")
    assert len(life.calls("read")) == 4
    engine.answers.set()
    for future in hanging:
        settled(future)


def test_files_of_a_hub_that_are_here_wait_for_no_other(engine: FarEngine) -> None:
    """Its cache needs no answer."""
    life = Life(engine, *HUB, cached := far("hf://org", "cached"))
    for plan in HUB:
        life.admitter.start(life.task(plan.name).versions[0])
    until(lambda: len(life.calls("read")) == 4)
    version = life.task(cached.name).versions[0]
    version.outline = Outline(is_here=True)
    life.admitter.start(version)
    until(lambda: "cached" in life.calls("read"))
    assert not any(life.task(plan.name).versions[0].is_ready for plan in HUB)


def test_those_who_wait_for_one_task_leave_places_for_the_next(engine: FarEngine) -> None:
    """Who asks for the one that hangs is told to come back before all places are taken."""
    file = file_of(HUB[0], numbered("1", name="here"))
    server = Living(engine, file, max_requests=24)

    async def use(service: LocalService) -> list[Answer]:
        waiting = ask(service, *"abcdefghij", task="hub-0")
        await so(lambda: service.num_inside == 10)
        with pytest.raises(StillLoading):
            await service.answer(call(task="hub-0"))
        answer = await service.answer(call(task="here"))
        engine.answers.set()
        return [answer, *await asyncio.gather(*waiting)]

    assert len(server.play(use)) == 11


def test_weights_that_come_back_from_afar_leave_room_for_warm_tasks(engine: FarEngine) -> None:
    """Requests that wait for them wait where those for admissions do."""
    file = file_of(HUB[0], numbered("1", name="warm"))
    server = Living(engine, file, max_requests=4)

    async def use(service: LocalService) -> list[Answer]:
        engine.answers.set()
        await asyncio.gather(*ask(service, "a", task="hub-0"), *ask(service, "a", task="warm"))
        engine.answers.clear()
        engine.cold = {"hub-0"}
        waiting = ask(service, "a", "b", task="hub-0")
        await so(lambda: service.num_inside == 2)
        with pytest.raises(StillLoading):
            await service.answer(call(task="hub-0"))
        warm = await service.answer(call(task="warm"))
        engine.answers.set()
        return [warm, *await asyncio.gather(*waiting)]

    answers = server.play(use)
    assert [answer.residency for answer in answers[1:]] == [Residency.ABSENT] * 2


def test_what_takes_longer_than_ever_is_not_about_to_end(engine: FarEngine) -> None:
    """As long again as it has taken is said of it, so that clients come back less often."""
    life = Life(engine, HUB[0])
    version = life.version("v1", HUB[0].name)
    admission = life.admitter.start(version)
    life.clock.now_s += 60.0
    assert life.admitter.estimate_s(version) == 60.0
    engine.answers.set()
    settled(admission)
