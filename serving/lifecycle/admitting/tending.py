"""What versions need when nobody asks: another try, a place in the traffic, an end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from adapter_runtime import Engine, TaskVersion, leaves
from serving.lifecycle.admitting.admitter import Admissions
from serving.lifecycle.admitting.outcomes import reasons_of
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)
_LOOK_S = 0.5
_END_S = 2.0


@dataclass(slots=True)
class _Chores:
    """What is to be done for tasks that changed, once the lock is free again."""

    start: list[Version] = field(default_factory=list)
    evict: list[Version] = field(default_factory=list)
    pin: list[Version] = field(default_factory=list)


class Caretaker:
    """Looks after versions, on a thread of its own.

    Args:
        tasks: the live tasks.
        engine: owner of the device.
        admissions: reads and checks.
    """

    def __init__(self, tasks: Tasks, engine: Engine, admissions: Admissions) -> None:
        self._tasks = tasks
        self._engine = engine
        self._admissions = admissions
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="caretaker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Blocks for as long as a chore, at most seconds."""
        self._is_stopping = True
        self._tasks.stirred.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def _work(self) -> None:
        self._learn_identity()
        while not self._is_stopping:
            self._tasks.stirred.wait(_LOOK_S)
            self._tasks.stirred.clear()
            try:
                self.tend()
            except Exception:
                log.exception("The caretaker met an unexpected error and goes on")

    def _learn_identity(self) -> None:
        """It takes a while the first time: no request should have to wait for that."""
        try:
            self._engine.identity()
        except Exception:
            log.exception("The engine cannot say what it is")

    def tend(self) -> None:
        """One round: settle what changed, retire what is gone, try again what is due. Blocks."""
        chores = _Chores()
        with self._tasks.lock:
            for task in self._tasks.take_unsettled():
                self._look(task, chores)
            chores.start += self._due()
        for version in chores.start:
            self._admissions.start(version)
        for version in chores.evict:
            self._evict(version)
        for version in chores.pin:
            self._pin(version)
        for version in self._tasks.take_gone():
            if version.prepared is not None:
                self._do(version.task, self._engine.retire, version.prepared)

    def _look(self, task: Task, chores: _Chores) -> None:
        """What a task that changed needs; the lock is held."""
        chores.start += task.next_up(self._tasks.clock())
        serving = task.serving()
        for version in task.versions:
            if not version.is_ready or version.prepared is None:
                continue
            if _is_pin_wrong(version):
                chores.pin.append(version)
            if version in serving or version.plan.shadow or version.plan.spec.pinned:
                version.has_served, version.is_superseded = True, False
            elif version.has_served:
                # Once: whoever asks for it by its id brings it back, and may find it again.
                version.is_superseded = version.in_flight > 0
                version.has_served = version.is_superseded
                if not version.is_superseded:
                    chores.evict.append(version)

    def _due(self) -> list[Version]:
        """Versions that were refused or quarantined, and whose time has come; the lock is held."""
        now_s = self._tasks.clock()
        return [
            version
            for task in self._tasks
            for version in (*task.versions, *task.leaving)
            if version.retry_at_s is not None and version.retry_at_s <= now_s
        ]

    def _pin(self, version: Version) -> None:
        """Bring the engine's pin in line with the plan."""
        prepared, is_wanted = version.prepared, version.plan.spec.pinned
        if prepared is None or not _is_pin_wrong(version):
            return
        version.is_pinned = is_wanted
        try:
            (self._engine.pin if is_wanted else self._engine.unpin)(prepared)
        except Exception as error:
            version.is_pinned = False
            text = " ".join(note.message for note in reasons_of(error))
            log.warning("Version %s of %s is not pinned: %s", version.id, version.task, text)
            with self._tasks.lock:
                version.last_error = text
                self._tasks.note(version, "not_pinned", text)

    def _evict(self, version: Version) -> None:
        """Free what a superseded version alone uses; what others share stays where it is."""
        with self._tasks.lock:
            if version.prepared is None or version.in_flight:
                return
            prepared, own = version.prepared, _weights(version.prepared)
            others = (one for task in self._tasks for one in task.versions if one.has_served)
            shared = (one.prepared for one in others if one is not version and one.is_ready)
            if any(own & _weights(each) for each in shared if each is not None):
                return
        self._do(version.task, self._engine.evict, prepared)

    def _do(self, task: str, chore: Callable[[TaskVersion], None], version: TaskVersion) -> None:
        try:
            chore(version)
        except Exception:
            log.exception("%s: version %s could not be let go", task, version.id)


def _is_pin_wrong(version: Version) -> bool:
    """Whether its pin is not as its plan says, and nobody is just about to change that."""
    return version.is_pinned is not version.plan.spec.pinned and not version.is_being_pinned


def _weights(version: TaskVersion) -> set[str]:
    return {version.head.digest, *(leaf.ref for leaf in leaves(version.composition))}
