"""Versions by the ids that operators give, brought to where an operation needs them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from adapter_runtime import CapacityError, Engine, TaskVersion
from serving.errors import DeadlineExceeded, UnknownVersion
from serving.lifecycle.admitting.admitter import Admissions
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task, refusal
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

_TRY_AGAIN_S = 0.05


class Reach:
    """Finds versions and gets them ready. Every method may block; for threads.

    Args:
        tasks: the live tasks.
        engine: reads files.
        admissions: reads and checks.
        patience_s: longest wait for one step, in seconds.
    """

    def __init__(
        self, tasks: Tasks, engine: Engine, admissions: Admissions, patience_s: float
    ) -> None:
        self._tasks = tasks
        self._engine = engine
        self._admissions = admissions
        self._patience_s = patience_s

    def find(self, name: str, id: str) -> Version:
        """The version of an id; files are read where an id is not known without.

        Raises:
            UnknownTask, UnknownVersion, VersionRetired: there is none.
        """
        try:
            with self._tasks.lock:
                return self._tasks.find(name).find(id)
        except UnknownVersion:
            for version in self._unnamed(name):
                self._read(version)
                if version.id == id:
                    return version
            raise

    def _unnamed(self, name: str) -> list[Version]:
        with self._tasks.lock:
            return self._tasks.find(name).unnamed

    def _read(self, version: Version) -> None:
        try:
            self._admissions.adopt(version, self._engine.read(version.plan.spec))
        except Exception:
            self.settle(version)  # its reasons then stand on its page

    def settle(self, version: Version) -> None:
        """Admit a version as far as it goes, whatever was found before.

        Raises:
            DeadlineExceeded: it takes too long; it goes on beside.
        """
        self._wait(self._admissions.start(version, is_awaited=True, again=True), version)

    def _wait(self, admission: Future[None], version: Version) -> None:
        try:
            admission.result(self._patience_s)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{version.task} is still loading after {self._patience_s:g} s; ask again later."
            ) from error

    def ready(self, name: str, id: str) -> Version:
        """The version of an id, admitted first where it is not.

        Raises:
            UnknownTask, UnknownVersion, VersionRetired: there is none.
            RejectedAdapter, Quarantined: it cannot serve; with the reasons.
            DeadlineExceeded: admitting it takes too long.
        """
        version = self.find(name, id)
        self.make_ready(version)
        return version

    def make_ready(self, version: Version) -> None:
        """Admit a version; raises as `ready`."""
        if not version.is_ready and version.state is not State.QUARANTINED:
            self.settle(version)
        if not version.is_ready:
            raise refusal(version, self._tasks.clock())

    def prepared(self, version: Version) -> TaskVersion:
        """What the engine knows a ready version as."""
        assert version.prepared is not None, "A ready version was never read: a bug."
        return version.prepared

    def bring_in(self, version: Version) -> None:
        """Bring a ready version's weights onto the device; they stay while there is room.

        Raises:
            SourceError, RejectedAdapter: they cannot be had.
            CapacityError: all that could make room stays in use.
        """
        until_s = time.monotonic() + self._patience_s
        with self._tasks.use(version):
            while True:
                try:
                    self._engine.hold(self.prepared(version))
                except CapacityError:
                    if time.monotonic() > until_s:
                        raise
                    time.sleep(_TRY_AGAIN_S)
                else:
                    self._engine.release(self.prepared(version))
                    return

    @contextmanager
    def pinned(self, version: Version) -> Iterator[None]:
        """Keep a ready version's weights for good, unless the block fails to write that down.

        Raises:
            RejectedAdapter, CapacityError: there is no room for it.
        """
        version.is_being_pinned = True
        try:
            was_pinned = self._pin(version)
            try:
                yield
            except BaseException:
                if not was_pinned:
                    self.unpin(version)
                raise
        finally:
            version.is_being_pinned = False

    def _pin(self, version: Version) -> bool:
        """Pin it; says whether it was pinned already."""
        with self._tasks.use(version):
            if version.is_pinned:
                return True
            self._engine.pin(self.prepared(version))
            version.is_pinned = True
            return False

    def unpin(self, version: Version) -> None:
        """Keep a version's weights no longer than there is room."""
        version.is_pinned = False
        self._engine.unpin(self.prepared(version))

    def evict(self, version: Version) -> None:
        """Take a version's weights out of memory, save what is pinned or in use."""
        with self._tasks.use(version):
            if version.prepared is not None and version.is_ready:
                self._engine.evict(version.prepared)

    def before(self, version: Version) -> list[Version]:
        """The versions that a rollback would give weights to again."""
        with self._tasks.lock:
            task = self._task_of(version)
            plan = task.plan if task else None
            if task is None or plan is None:
                return []
            weights = plan.previous_weights or {}
            return [one for one in task.versions if weights.get(one.id or "")]

    def older_than(self, version: Version) -> list[Version]:
        """The task's versions that came before one and may answer, newest first."""
        with self._tasks.lock:
            task = self._task_of(version)
            if task is None or version not in task.versions:
                return []
            before = task.versions[: task.versions.index(version)]
            return [one for one in reversed(before) if not one.plan.shadow]

    def _task_of(self, version: Version) -> Task | None:
        return self._tasks.find(version.task) if version.task in self._tasks else None
