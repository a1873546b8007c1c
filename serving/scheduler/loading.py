"""The threads that bring cold versions in, beside the compute lanes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial

from adapter_runtime import CapacityError, Engine, OutOfMemory, Residency, TaskVersion
from serving.origins import HERE, origin_of
from serving.scheduler.entries import Entry, Key, Loaded, key_of
from serving.scheduler.fetches import Fetches
from serving.scheduler.loads import Loads
from serving.scheduler.policy import FairQueue
from serving.workers import Workers

log = logging.getLogger(__name__)
_AT_HAND = frozenset({Residency.DEVICE, Residency.HOST, Residency.FAILED})
"""Where nobody is asked: what failed a moment ago is answered with the same failure."""


class Loader:
    """Holds cold versions on the device until their rows have run.

    Args:
        engine: holds and releases.
        clock: monotonic seconds.
        queue: the rows that wait.
        changed: guards the queue and this; notified when a version came in.
        loaded: hears of each load that ended.
        failed: hears of entries whose version cannot come.
        most: versions that load side by side, and that are fetched so from one origin.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float],
        queue: FairQueue,
        changed: threading.Condition,
        loaded: Callable[[Loaded], None],
        failed: Callable[[Sequence[Entry], Exception], None],
        most: int,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._queue = queue
        self._changed = changed
        self._loaded = loaded
        self._failed = failed
        self._workers: Workers | None = None
        self._is_closed = False
        self._fetches = Fetches(most)
        self.loads = Loads(most)

    def start(self) -> None:
        """Start what may come in now. The lock is held."""
        if self._is_closed:
            return
        waiting = [*self._queue.versions(), *self.loads.wanted.values()]
        to_fetch, here = self._fetches.split(waiting, self._origin)
        for version in to_fetch:
            self._do(self._fetch, version)
        for version in self.loads.start(here, self._is_on_device):
            self._do(self._bring_in, version, self._fetches.take(version))

    def _do(self, work: Callable[..., None], *given: object) -> None:
        """Have a thread do it; the bounds of loads and fetches see to it that one is free."""
        if self._workers is None:
            self._workers = Workers(self.loads.most + self._fetches.num_threads, "load")
        self._workers.do(partial(work, *given))

    def is_warm(self, version: TaskVersion) -> bool:
        """Whether a batch may take rows of a version. The lock is held."""
        return self.loads.is_warm(version, self._is_on_device)

    def batch_ended(self, ran: Collection[Key], running: Callable[[], Collection[Key]]) -> None:
        """Release what was held for rows that have run or wait no more; room may have come.

        Args:
            ran: keys of the versions of which rows ran.
            running: keys of the versions in other batches; asked when it matters.
        """
        with self._changed:
            over: list[TaskVersion] = []
            if self.loads.held:
                busy = running()
                over = self.loads.let_go(
                    lambda key: key in ran or not (key in busy or self._queue.is_waiting(key))
                )
        for version in over:
            self._release(version)
        with self._changed:
            self.loads.make_room()
            self.start()
            if self._queue.num_rows:
                self._changed.notify()

    def close(self) -> None:
        """Start no more loads; those on their way end by themselves."""
        with self._changed:
            self._is_closed = True
        if self._workers is not None:
            self._workers.close(0.0)

    def _origin(self, version: TaskVersion) -> str:
        """Who has to answer before its weights are in host memory. The lock is held."""
        origin = origin_of(version.spec)
        if origin == HERE or self._engine.residency(version) in _AT_HAND:
            return HERE
        return origin

    def _is_on_device(self, version: TaskVersion) -> bool:
        return self._engine.residency(version) is Residency.DEVICE

    def _fetch(self, version: TaskVersion) -> None:
        """Bring a version's files into host memory; how that ends is found out when it is held."""
        started_s = self._clock()
        try:
            self._engine.load(version)
        except Exception as error:
            log.info("Fetching version %s of %s failed: %s", version.id, version.task, error)
        with self._changed:
            self._fetches.came(version, started_s)
            self.start()

    def _bring_in(self, version: TaskVersion, fetched_s: float | None) -> None:
        started_s = self._clock() if fetched_s is None else fetched_s
        error: Exception | None = None
        came_from = Residency.ABSENT
        try:
            if fetched_s is None:
                came_from = self._engine.residency(version)
            self._engine.hold(version)
        except CapacityError as problem:
            if not self._is_final(version, problem):
                self._refuse(version)
                return
            error = problem
        except Exception as problem:
            log.exception("Loading version %s of %s failed", version.id, version.task)
            error = problem
        loaded = Loaded(version, self._clock() - started_s, came_from, error)
        if error is None:
            self._take_in(loaded)
        else:
            self._give_up(version, error)
        self._loaded(loaded)

    def _take_in(self, loaded: Loaded) -> None:
        version, key = loaded.version, key_of(loaded.version)
        with self._changed:
            now_s = self._clock()
            for entry in self._queue:
                if key_of(entry.version) == key:
                    entry.load_s += min(loaded.took_s, now_s - entry.queued_s)
                    entry.loaded_s = now_s
            is_awaited = self._queue.is_waiting(key)
            is_held = self.loads.came(version, is_awaited=is_awaited)
            self.start()
            self._changed.notify_all()
        if not is_held:
            self._release(version)

    def _is_final(self, version: TaskVersion, error: CapacityError) -> bool:
        """Whether the rows are told: no batch that ends will free the memory that is missing."""
        with self._changed:
            return isinstance(error, OutOfMemory) and self.loads.is_hopeless(version)

    def _refuse(self, version: TaskVersion) -> None:
        with self._changed:
            self.loads.refused(version)
            self._changed.notify_all()

    def _give_up(self, version: TaskVersion, error: Exception) -> None:
        with self._changed:
            self.loads.failed(version)
            out = self._queue.remove(lambda entry: key_of(entry.version) == key_of(version))
            self.start()
            self._changed.notify_all()
        self._failed(out, error)

    def _release(self, version: TaskVersion) -> None:
        try:
            self._engine.release(version)
        except Exception:
            log.exception("Releasing version %s of %s failed", version.id, version.task)
