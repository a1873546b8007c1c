"""A folder of task files and the life of its tasks over a FakeEngine: all real but the engine."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from adapter_runtime import TaskSpec, TaskVersion, leaves
from serving.catalog.files import open_store
from serving.lifecycle.admitting.admission import Admitter
from serving.lifecycle.admitting.tending import Caretaker
from serving.lifecycle.changing.operations import LocalLifeCycle
from serving.lifecycle.changing.overrides import Overrides
from serving.lifecycle.follower import Follower, Outlines
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.settings import load_settings
from tests.lifecycle.living import until
from tests.serving.conftest import Known
from tests.serving.fake_engine import FakeEngine


@dataclass
class HashEngine(FakeEngine):
    """Names versions by their content, as the real one does.

    Args:
        contents: what files hold, by Source; they can be changed.
    """

    contents: dict[str, str] = field(default_factory=dict)

    def prepare(self, spec: TaskSpec) -> TaskVersion:
        source = next((leaf.ref for leaf in leaves(spec.adapter)), "")
        meaning = (source, self.contents.get(source), spec.labels, spec.limits)
        digest = sha256(repr(meaning).encode()).hexdigest()
        return replace(super().prepare(spec), id=digest[:12], digest=digest)


class FolderLife:
    """One server process's view of a folder.

    Args:
        folder: the catalog, or one file.
        engine: reads and checks.
        settings: of the process.
    """

    def __init__(self, folder: Path, engine: FakeEngine, **settings: Any) -> None:
        self.folder = folder
        self.engine = engine
        self.tasks = Tasks()
        self.settings = load_settings(poll_s=0.05, default_deadline_s=20.0, **settings)
        self.store = open_store(str(folder), self.settings.poll_s)
        self.admitter = Admitter(engine, self.tasks, Known())
        self.caretaker = Caretaker(self.tasks, engine, self.admitter)
        in_step, overrides = threading.Lock(), Overrides()
        self.heard: Counter[str] = Counter()
        self.operations = LocalLifeCycle(
            self.tasks, self.store, engine, self.admitter, self.settings, in_step, overrides
        )
        self.following = (
            self.tasks,
            self.store,
            Outlines(self.tasks, engine),
            self.admitter,
            overrides,
            self._hear,
            in_step,
            self.settings.poll_s,
        )
        self.follower = Follower(*self.following)
        self.follower.follow()
        self.caretaker.start()

    def _hear(self, result: str) -> None:
        self.heard[result] += 1

    def close(self) -> None:
        """End all threads."""
        self.follower.stop()
        self.operations.close()
        self.caretaker.stop()
        self.admitter.close()
        self.admitter.stop()

    def put(self, name: str, expected: str | None = None, **entry: Any) -> bool:
        """Make a task, or give it a version."""
        return asyncio.run(self.operations.put(name, entry, expected))

    def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """Do something to a version."""
        asyncio.run(self.operations.act(name, version, action, expected))

    def share(self, name: str, weights: dict[str, float] | None, *shadow: str) -> None:
        """Share the traffic out."""
        asyncio.run(self.operations.set_traffic(name, weights, shadow))

    def delete(self, name: str, version: str | None = None, expected: str | None = None) -> None:
        """Retire a version, or delete a task."""
        asyncio.run(self.operations.delete(name, version, expected))

    def version(self, name: str, id: str) -> Version:
        """A live version."""
        return self.tasks.find(name).find(id)

    def answers(self, name: str) -> str:
        """Id of the version that answers a request, as a request finds it."""
        while True:
            version, is_ready = self.tasks.enter(name)
            if is_ready:
                self.tasks.leave(version)
                return str(version.id)
            self.admitter.start(version, is_awaited=True).result(20)

    def until_answered_by(self, name: str, id: str) -> None:
        """Wait until a version answers."""
        until(lambda: self.answers(name) == id, 20)

    def entry(self, name: str) -> dict[str, Any]:
        """What the task's file says."""
        found: dict[str, Any] = yaml.safe_load((self.folder / f"{name}.yaml").read_text())
        return found

    def words(self, name: str) -> list[str]:
        """What happened to a task."""
        return [event.what for event in self.tasks.find(name).events]


def nothing_left(engine: HashEngine, life: FolderLife) -> bool:
    """Whether every version that was read and is not live was retired."""
    live = {
        version.digest: 1
        for task in life.tasks
        for version in task.versions
        if version.prepared is not None
    }
    return {digest: uses for digest, uses in engine.uses.items() if uses} == live
