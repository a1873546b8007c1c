"""All live tasks of this process, and how they follow the catalog."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from adapter_runtime import TaskVersion, UnknownTask
from serving.catalog.entries import near_names
from serving.catalog.plans import TaskFile, TaskPlan
from serving.errors import UnknownVersion, VersionRetired
from serving.lifecycle.live.following import break_off, follow
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task, refusal
from serving.lifecycle.live.version import Version
from serving.views import Event


class Tasks:
    """Finds tasks and versions, counts who uses them, and follows the catalog. Thread-safe.

    Args:
        clock: monotonic seconds.

    Attributes:
        lock: guards all tasks and versions; held for moments only, never while anything blocks.
        stirred: set when something waits to be settled; see `take_unsettled` and `take_gone`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.stirred = threading.Event()
        self._tasks: dict[str, Task] = {}
        self._unsettled: set[Task] = set()
        self._gone: list[Version] = []

    def __iter__(self) -> Iterator[Task]:
        with self.lock:
            return iter(list(self._tasks.values()))

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def find(self, name: str) -> Task:
        """The task of a name.

        Raises:
            UnknownTask: there is none; names similar ones.
        """
        task = self._tasks.get(name)
        if task is None:
            raise UnknownTask(name, near_names(name, tuple(self._tasks)))
        return task

    def enter(self, name: str, id: str | None = None) -> tuple[Version, bool]:
        """The version that is to answer, and whether it is ready and now counted as in use.

        One that is not has to be admitted first, and then asked for again: which one answers may
        be another by then.

        Args:
            name: of the task.
            id: of the version; None leaves it to the task.

        Raises:
            UnknownTask, UnknownVersion, VersionRetired: there is no such thing (any more).
            RejectedAdapter, Quarantined: nothing there can answer now.
        """
        with self.lock:
            task = self.find(name)
            version = task.choose(self.clock()) if id is None else self._pinned(task, id)
            if version.is_ready:
                version.in_flight += 1
            return version, version.is_ready

    def _pinned(self, task: Task, id: str) -> Version:
        try:
            version = task.find(id)
        except UnknownVersion:
            # It may be one whose files nobody has read yet; they are read to find out.
            if not task.unnamed:
                raise
            return task.unnamed[-1]
        if not version.is_ready and not version.may_become_ready(self.clock()):
            raise refusal(version, self.clock())
        return version

    def leave(self, version: Version) -> None:
        """End one use of a version."""
        with self.lock:
            version.in_flight -= 1
            assert version.in_flight >= 0, "A version was left more often than entered: a bug."
            if not version.in_flight and version.is_superseded:
                self.stir(version)
            elif not version.in_flight and version.is_leaving:
                self.stirred.set()

    @contextmanager
    def use(self, version: Version) -> Iterator[None]:
        """Count a use for a block, whatever the version's state."""
        with self.lock:
            version.in_flight += 1
        try:
            yield
        finally:
            self.leave(version)

    @contextmanager
    def use_again(self, prepared: TaskVersion) -> Iterator[Version]:
        """Count a use of a version that served a moment ago, for a block.

        Raises:
            VersionRetired: it does not serve any more.
        """
        with self.lock:
            version = self.live(prepared)
            if version is None or not version.is_ready or version.is_leaving:
                raise VersionRetired(f"Version {prepared.id!r} of {prepared.task} serves no more.")
            version.in_flight += 1
        try:
            yield version
        finally:
            self.leave(version)

    def live(self, prepared: TaskVersion) -> Version | None:
        """The live version that the engine knows as this one; None once it is gone."""
        with self.lock:
            task = self._tasks.get(prepared.task)
            known = (*task.versions, *task.leaving, *self._gone) if task else self._gone
            return next((version for version in known if version.prepared is prepared), None)

    def note(self, version: Version, what: str, reason: str | None = None) -> None:
        """Remember something that happened to a version, for its task's page."""
        self._note(version.task, Event(time.time(), what, version.id, reason))

    def note_all(self, name: str, what: str, reason: str | None = None) -> None:
        """Likewise, of something that happened to a task as a whole."""
        self._note(name, Event(time.time(), what, None, reason))

    def _note(self, name: str, event: Event) -> None:
        with self.lock:
            task = self._tasks.get(name)
            if task is not None:
                task.events.append(event)

    def apply(self, file: TaskFile) -> Sequence[Version]:
        """Follow the catalog: a broken entry changes nothing; what is gone leaves.

        Returns:
            The versions that are new, oldest first.
        """
        with self.lock:
            named = {plan.name for plan in file.plans} | {each.name for each in file.broken}
            for name in [name for name in self._tasks if name not in named]:
                self._remove(name)
            new = [version for plan in file.plans for version in self._follow(plan)]
            for each in file.broken:
                break_off(self._task(each.name), each)
            return new

    def apply_one(self, name: str, plan: TaskPlan | None) -> Sequence[Version]:
        """As `apply`, for one task; None: it is deleted."""
        with self.lock:
            if plan is not None:
                return self._follow(plan)
            self._remove(name)
            return ()

    def _task(self, name: str) -> Task:
        return self._tasks.setdefault(name, Task(name))

    def _follow(self, plan: TaskPlan) -> list[Version]:
        task = self._task(plan.name)
        if task.plan == plan and task.broken is None:
            return []
        new, gone = follow(task, plan)
        self._let_go(gone)
        self.settle(task)
        return new

    def _remove(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            self._unsettled.discard(task)
            self._let_go((*task.versions, *task.leaving))

    def _let_go(self, versions: Sequence[Version]) -> None:
        for version in versions:
            version.is_leaving = True
        self._gone.extend(versions)
        self.stirred.set()

    def settle(self, task: Task) -> None:
        """Let versions that left the catalog go once the task can answer without them."""
        with self.lock:
            if task.leaving and not task.serving().keys().isdisjoint(task.versions):
                self._let_go(task.leaving)
                task.leaving = ()
            self._unsettled.add(task)
            self.stirred.set()

    def stir(self, version: Version) -> None:
        """Have what became of a version's task looked at soon."""
        with self.lock:
            task = self._tasks.get(version.task)
            if task is not None:
                self.settle(task)

    def take_unsettled(self) -> list[Task]:
        """Tasks that changed since the last call."""
        with self.lock:
            found, self._unsettled = self._unsettled, set()
            return [task for task in found if self._tasks.get(task.name) is task]

    def take_gone(self) -> list[Version]:
        """Versions that nobody uses any more, each given out once, to be retired."""
        with self.lock:
            free = [version for version in self._gone if version.in_flight == 0]
            self._gone = [version for version in self._gone if version.in_flight]
            for version in free:
                version.state = State.RETIRED
            return free

    def count_by_state(self) -> dict[str, int]:
        """How many tasks are in each state: that of the version that would answer."""
        with self.lock:
            found = Counter(task.state for task in self._tasks.values())
        return {str(state): found[state] for state in State}
