"""All live tasks of this process, and how they follow the catalog."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from adapter_runtime import Note, UnknownTask
from serving.catalog.entries import near_names
from serving.catalog.plans import Broken, TaskFile, TaskPlan, VersionPlan
from serving.lifecycle.live import Version
from serving.lifecycle.states import State
from serving.lifecycle.task import Task, refusal
from serving.views import Event


class Tasks:
    """Finds tasks and versions, counts who uses them, and follows the catalog. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self._tasks: dict[str, Task] = {}
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
        unnamed = task.unnamed
        if unnamed and all(version.id != id for version in task.versions):
            return unnamed[-1]
        version = task.find(id)
        if not version.is_ready and not version.may_become_ready(self.clock()):
            raise refusal(version, self.clock())
        return version

    def leave(self, version: Version) -> None:
        """End one use of a version."""
        with self.lock:
            version.in_flight -= 1
            assert version.in_flight >= 0, "A version was left more often than entered: a bug."

    @contextmanager
    def use(self, version: Version) -> Iterator[None]:
        """Count a use for a block, whatever the version's state."""
        with self.lock:
            version.in_flight += 1
        try:
            yield
        finally:
            self.leave(version)

    def note(self, version: Version, what: str, reason: str | None = None) -> None:
        """Remember something that happened to a version, for its task's page."""
        with self.lock:
            task = self._tasks.get(version.task)
            if task is not None:
                task.events.append(Event(time.time(), what, version.id, reason))

    def apply(self, file: TaskFile) -> Sequence[Version]:
        """Follow the catalog: a broken entry changes nothing; what is gone leaves.

        Returns:
            The versions that are new, oldest first.
        """
        with self.lock:
            named = {plan.name for plan in file.plans} | {each.name for each in file.broken}
            for name in [name for name in self._tasks if name not in named]:
                self._remove(self._tasks.pop(name))
            new = [version for plan in file.plans for version in self._follow(plan)]
            for each in file.broken:
                self._break(each)
            return new

    def apply_one(self, name: str, plan: TaskPlan | None) -> Sequence[Version]:
        """As `apply`, for one task; None: it is deleted."""
        with self.lock:
            if plan is not None:
                return self._follow(plan)
            task = self._tasks.pop(name, None)
            if task is not None:
                self._remove(task)
            return ()

    def _remove(self, task: Task) -> None:
        for version in (*task.versions, *task.leaving):
            self._let_go(version)

    def _let_go(self, version: Version) -> None:
        version.is_leaving = True
        self._gone.append(version)

    def _break(self, broken: Broken) -> None:
        task = self._tasks.setdefault(broken.name, Task(broken.name))
        if task.broken_etag == broken.etag and task.broken is not None:
            return
        task.broken, task.broken_etag = Note("bad_task_entry", broken.reason), broken.etag
        task.events.append(Event(time.time(), "broken", None, broken.reason))

    def _follow(self, plan: TaskPlan) -> list[Version]:
        task = self._tasks.setdefault(plan.name, Task(plan.name))
        task.broken = None
        if task.plan == plan:
            return []
        before, new, now = list(task.versions), [], []
        for each in plan.versions:
            version = _match(each, before)
            if version is None:
                version = Version(plan.name, each, plan.rollback)
                new.append(version)
            else:
                before.remove(version)
                self._update(task, version, each, plan)
            now.append(version)
        task.retired.extend(str(version.id) for version in before if version.id is not None)
        task.plan, task.versions = plan, tuple(now)
        task.leaving = (*task.leaving, *before)
        self.settle(task)
        return new

    def _update(self, task: Task, version: Version, plan: VersionPlan, of: TaskPlan) -> None:
        if version.plan.key != plan.key:
            reason = f"Version {plan.id} stood for other content; give the new one another id."
            version.last_error = reason
            task.events.append(Event(time.time(), "source_changed", plan.id, reason))
            return
        is_moved = (version.plan.weight, version.plan.shadow) != (plan.weight, plan.shadow)
        version.plan = plan
        version.traffic.follow(of.rollback)
        if is_moved:
            version.traffic.reset()

    def settle(self, task: Task) -> None:
        """Let versions that left the catalog go once the task can answer without them."""
        if any(version.is_ready for version in task.versions):
            for version in task.leaving:
                self._let_go(version)
            task.leaving = ()

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
            found = Counter(state_of(task) for task in self._tasks.values())
        return {str(state): found[state] for state in State}


def _match(plan: VersionPlan, versions: Sequence[Version]) -> Version | None:
    """The live version that a plan speaks of."""
    for version in versions:
        if plan.id is not None and version.id == plan.id:
            return version
    # An id may have been written beside a version that had none, or be not known yet.
    for version in versions:
        is_open = plan.id is None or version.id is None
        if is_open and version.plan.key == plan.key and version.plan.digest in (None, plan.digest):
            return version
    return None


def state_of(task: Task) -> State:
    """The state of the version that answers, or would be tried next."""
    serving = task.serving()
    if serving:
        return State.READY
    newest = [*task.versions, *task.leaving]
    if not newest or (task.broken and task.plan is None):
        return State.REJECTED
    return newest[-1].state
