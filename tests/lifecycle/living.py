"""Plans of tasks whose Sources tell the FakeEngine what to do, and what brings them to life."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from adapter_runtime import Leaf, TaskSpec
from serving.catalog.plans import Broken, RollbackRule, TaskFile, TaskPlan, VersionPlan
from serving.lifecycle.admitting.admission import Admitter
from serving.lifecycle.admitting.tending import Caretaker
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from tests.serving.conftest import Known
from tests.serving.fake_engine import FakeEngine


def version_plan(mark: str, name: str = "topic", folder: str = "a", **given: Any) -> VersionPlan:
    """Version `mark` of a task; `folder` may hold a word that the FakeEngine knows."""
    pinned = given.pop("pinned", False)
    spec = TaskSpec(name, adapter=Leaf(f"/{folder}/{name}@{mark}"), pinned=pinned)
    return VersionPlan(spec, f"{folder}-{mark}".ljust(64, "0"), **{"id": f"v{mark}", **given})


def task_plan(*versions: VersionPlan, rollback: RollbackRule | None = None) -> TaskPlan:
    """A task of these versions."""
    etag = "-".join(each.key[:6] for each in versions)
    return TaskPlan(versions[0].spec.name, versions, rollback, etag=etag)


def file_of(*plans: TaskPlan, broken: tuple[Broken, ...] = ()) -> TaskFile:
    """A catalog of these tasks."""
    return TaskFile("fake", plans, broken)


def numbered(*marks: str, **given: Any) -> TaskPlan:
    """A task of versions without weights."""
    return task_plan(*(version_plan(mark, **given) for mark in marks))


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Life:
    """Tasks, an admitter and a caretaker over a FakeEngine, with a clock that stands still."""

    def __init__(
        self,
        engine: FakeEngine,
        *plans: TaskPlan,
        threads: int = 4,
        verdicts: Known | None = None,
    ) -> None:
        self.engine = engine
        self.clock = Clock()
        self.tasks = Tasks(self.clock)
        self.verdicts = Known() if verdicts is None else verdicts
        self.heard: list[tuple[str, str]] = []
        self.admitter = Admitter(engine, self.tasks, self.verdicts, threads, heard=self._hear)
        self.caretaker = Caretaker(self.tasks, engine, self.admitter)
        self.tasks.apply(file_of(*plans))

    def _hear(self, version: Version, result: str, _: float) -> None:
        self.heard.append((version.task, str(result)))

    def task(self, name: str = "topic") -> Task:
        """The live task."""
        return self.tasks.find(name)

    def version(self, id: str, name: str = "topic") -> Version:
        """The live version of an id."""
        return self.task(name).find(id)

    def admit(self, version: Version, **how: bool) -> Version:
        """Admit it as far as it goes."""
        settled(self.admitter.start(version, **how))
        return version

    def admit_first(self, name: str = "topic") -> Version:
        """What a first request does."""
        while True:
            version, is_ready = self.tasks.enter(name)
            if is_ready:
                self.tasks.leave(version)
                return version
            self.admit(version)

    def change(self, plan: TaskPlan) -> None:
        """The entry says something else now."""
        self.tasks.apply_one(plan.name, plan)

    def tend(self) -> None:
        """One round of the caretaker, and the admissions that it starts."""
        self.caretaker.tend()
        with self.tasks.lock:
            started = [future for future, _ in self.admitter._running.values()]
        for future in started:
            settled(future)

    def calls(self, what: str) -> list[str]:
        """What the engine was told of one kind."""
        return [name for call, name in self.engine.calls if call == what]

    def words(self, name: str = "topic") -> list[str]:
        """What happened to a task."""
        return [event.what for event in self.task(name).events]


def settled(future: Future[None]) -> None:
    """Wait for an admission."""
    future.result(30)


def until(is_so: Callable[[], bool], patience_s: float = 30.0) -> None:
    """Wait for something that other threads bring about."""
    end_s = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end_s, "It never came about."
        time.sleep(0.002)


def weighted(plan: VersionPlan, weight: float | None) -> VersionPlan:
    """The same version with another weight."""
    return replace(plan, weight=weight)
