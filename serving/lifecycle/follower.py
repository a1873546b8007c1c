"""Follows the catalog: what changes there changes here; what is broken changes nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from adapter_runtime import Engine, PolyheadError
from serving.catalog.store import CatalogStore
from serving.lifecycle.admitting.admitter import Admissions
from serving.lifecycle.admitting.outcomes import Outcomes
from serving.lifecycle.changing.overrides import Overrides
from serving.lifecycle.live.states import State
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)
_END_S = 5.0


class Outlines:
    """Learns from configs alone what versions are, before any weight is read.

    Args:
        tasks: the live tasks.
        engine: reads configs.
    """

    def __init__(self, tasks: Tasks, engine: Engine) -> None:
        self._tasks = tasks
        self._engine = engine
        self._outcomes = Outcomes(tasks, quarantine_s=0.0)

    def draw_all(self, versions: Sequence[Version], num_threads: int) -> None:
        """Outline versions side by side. Blocks."""
        with ThreadPoolExecutor(num_threads, "outline") as threads:
            list(threads.map(self.draw, versions))

    def draw(self, version: Version) -> None:
        """Outline one version, or reject it where its configs are already wrong. Blocks."""
        try:
            outline = self._engine.outline(version.plan.spec)
        except Exception as error:
            with self._tasks.lock:
                if version.state is State.PENDING:  # reading it tells more
                    self._outcomes.failed(version, error)
            return
        with self._tasks.lock:
            version.outline = outline


class Follower:
    """A thread that follows the catalog's store.

    Args:
        tasks: the live tasks.
        store: the catalog.
        outlines: looks at new versions.
        admissions: reads and checks the versions of tasks that answer already.
        overrides: what holds here instead of what the catalog says.
        heard: takes `ok` or `failed` for each read, for metrics.
        in_step: held while the catalog is read and taken over, so that nobody changes it between.
        poll_s: seconds between tries of a catalog that cannot be read.
    """

    def __init__(
        self,
        tasks: Tasks,
        store: CatalogStore,
        outlines: Outlines,
        admissions: Admissions,
        overrides: Overrides,
        heard: Callable[[str], None],
        in_step: threading.Lock,
        poll_s: float,
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._outlines = outlines
        self._admissions = admissions
        self._overrides = overrides
        self._heard = heard
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._in_step = in_step
        self._last_failure = ""
        self._thread = threading.Thread(target=self._run, name="follow-catalog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Blocks for as long as a read that is under way, at most seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch()
            except Exception:
                log.exception("Following %s met an unexpected error and goes on", self._store.place)
            self._stop.wait(self._poll_s)

    def _watch(self) -> None:
        for _ in self._store.watch(self._stop):
            while not self.follow() and not self._stop.wait(self._poll_s):
                continue
            self._heard("ok")

    def follow(self) -> bool:
        """Read the catalog and take over what changed; False where it could not be read. Blocks."""
        with self._in_step:
            try:
                new = self._tasks.apply(self._overrides.over(self._store.read()))
            except Exception as error:
                self._tell(error)
                return False
        self._last_failure = ""
        self.welcome(new)
        return True

    def _tell(self, error: Exception) -> None:
        self._heard("failed")
        text = str(error)
        if text != self._last_failure:
            log.error(
                "The catalog %s cannot be read, and all tasks stay as they are: %s",
                self._store.place,
                text,
                exc_info=None if isinstance(error, PolyheadError) else error,
            )
        self._last_failure = text

    def welcome(self, versions: Sequence[Version]) -> None:
        """Look at new versions; those of tasks that answer already, and pinned ones, are admitted.

        Blocks while configs are read.
        """
        for version in versions:
            self._outlines.draw(version)
            if version.plan.spec.pinned or self._answers(version.task):
                self._admissions.start(version)

    def _answers(self, name: str) -> bool:
        with self._tasks.lock:
            return name in self._tasks and bool(self._tasks.find(name).serving())
