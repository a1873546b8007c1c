"""Admits versions while the caller waits: for commands that serve nobody yet."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from adapter_runtime import Engine, TaskVersion
from serving.lifecycle.admitting.checking import source_changed
from serving.lifecycle.admitting.outcomes import Outcomes
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version


class AtOnce:
    """Reads, checks and admits versions on the calling thread.

    Args:
        tasks: the live tasks.
        engine: reads and checks.
    """

    def __init__(self, tasks: Tasks, engine: Engine) -> None:
        self._tasks = tasks
        self._engine = engine
        self._outcomes = Outcomes(tasks, quarantine_s=0.0)

    def resolve(self, name: str) -> TaskVersion:
        """The version that answers for a name: the first of the candidates that is sound. Blocks.

        Raises:
            UnknownTask: there is no such task.
            RejectedAdapter: none of its versions is sound.
        """
        while True:
            version, is_ready = self._tasks.enter(name)
            if is_ready:
                self._tasks.leave(version)
                assert version.prepared is not None, "A ready version was never read: a bug."
                return version.prepared
            self.admit(version)

    def admit_all(self, versions: Iterable[Version], num_threads: int) -> None:
        """Admit versions side by side; one that fails does not stop the others. Blocks."""
        with ThreadPoolExecutor(num_threads, "admit") as threads:
            list(threads.map(self.admit, versions))

    def admit(self, version: Version) -> None:
        """Bring a version to `ready` or `rejected`. Blocks."""
        began_s = time.monotonic()
        expected = version.plan.digest
        try:
            prepared = self._engine.prepare(version.plan.spec)
        except Exception as error:
            self._outcomes.failed(version, error)
            return
        if expected is not None and prepared.digest != expected:
            self._engine.retire(prepared)
            self._outcomes.refused(version, (source_changed(version, prepared.digest),))
            return
        with self._tasks.lock:
            version.prepared, version.is_pinned = prepared, version.plan.spec.pinned
        self._outcomes.admitted(version, time.monotonic() - began_s)
