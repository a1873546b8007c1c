"""The warm set: what was used lately comes in again after a restart, beside the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from adapter_runtime import CapacityError, Engine, PolyheadError, Residency
from serving.lifecycle.admitting.admitter import Admissions
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.lifecycle.remembering.heat import Heat
from serving.lifecycle.remembering.remembered import Remembered
from serving.origins import HERE

log = logging.getLogger(__name__)
_ROOM = "warm"
_HALF_LIFE_S = 900.0
_LOOK_S = 5.0
_SAVE_EVERY = 6
_PATIENCE_S = 30.0
"""Nobody is kept from this server for longer because something is slow to come in."""
_GLANCE_S = 0.2
_END_S = 5.0


class Used(NamedTuple):
    """A version that requests used; `key` is its plan's, for an id may not be known at start."""

    task: str
    id: str
    key: str


class WarmSet:
    """Which versions are used most lately, remembered for each catalog.

    Not thread-safe: one thread looks and saves.

    Args:
        tasks: the live tasks.
        remembered: where it outlives the process.
        place: of the catalog.
        most: versions that are remembered; 0: none.
    """

    def __init__(self, tasks: Tasks, remembered: Remembered, place: str, most: int) -> None:
        self._tasks = tasks
        self._remembered = remembered
        self._place = place
        self._most = most
        self._heat: Heat[Used] = Heat(_HALF_LIFE_S, max(1, most))
        self._seen: dict[Version, int] = {}

    def look(self, now_s: float) -> None:
        """Count what was answered since the last look.

        Args:
            now_s: monotonic seconds.
        """
        seen: dict[Version, int] = {}
        for task in self._tasks:
            for version in task.versions:
                count = seen[version] = version.traffic.num_requests
                new = count - self._seen.get(version, 0)
                if new > 0 and version.id is not None:
                    used = Used(version.task, version.id, version.plan.key)
                    self._heat.add(used, new, now_s)
        self._seen = seen

    def save(self, now_s: float) -> None:
        """Write the set down, most used first."""
        hottest = self._heat.hottest(self._most, now_s)
        if hottest:
            value = [[*used, round(heat, 6)] for used, heat in hottest.items()]
            self._remembered.write(_ROOM, self._place, value)

    def restore(self, now_s: float) -> list[Version]:
        """The versions of the last run that are still there, most used first."""
        value = self._remembered.read(_ROOM, self._place)
        found = []
        for each in value[: self._most] if isinstance(value, list) else ():
            version = self._find(each, now_s)
            if version is not None:
                found.append(version)
        return found

    def _find(self, stored: Any, now_s: float) -> Version | None:
        try:
            task, id, key, heat = stored
            used, heat = Used(str(task), str(id), str(key)), float(heat)
        except (TypeError, ValueError):
            return None
        if used.task not in self._tasks or not 0 <= heat < float("inf"):
            return None
        versions = self._tasks.find(used.task).versions
        version = next((one for one in versions if one.plan.key == used.key), None)
        if version is not None:
            self._heat.add(used, heat, now_s)
        return version


class Warmth:
    """Keeps the warm set, and brings it in after a start, one version at a time.

    Args:
        tasks: the live tasks.
        engine: owner of the device.
        admissions: reads and checks.
        warm: the set.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        tasks: Tasks,
        engine: Engine,
        admissions: Admissions,
        warm: WarmSet,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tasks
        self._engine = engine
        self._admissions = admissions
        self._warm = warm
        self._clock = clock
        self._started_s = clock()
        self._stop, self._is_done = threading.Event(), threading.Event()
        self.threads = [
            threading.Thread(target=work, name=f"warmth-{work.__name__}", daemon=True)
            for work in (self._bring_in, self._keep)
        ]

    def start(self) -> None:
        """Bring in what is pinned, then what was warm; returns at once."""
        self._started_s = self._clock()
        wanted = [*self._pinned(), *self._warm.restore(self._clock())]
        # A hub that hangs keeps nobody waiting whose files are here.
        self._wanted = sorted(wanted, key=lambda version: version.origin != HERE)
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End, and write the set down. Blocks."""
        self._stop.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(_END_S)
        self._warm.look(self._clock())
        self._warm.save(self._clock())

    @property
    def is_done(self) -> bool:
        """Whether all that was to come in has, or cannot, or takes too long to be waited for."""
        return self._is_done.is_set() or self._clock() - self._started_s > _PATIENCE_S

    def _pinned(self) -> Iterator[Version]:
        for task in self._tasks:
            yield from (each for each in task.versions if each.plan.spec.pinned)

    def _bring_in(self) -> None:
        try:
            self._bring_all_in()
        finally:
            self._is_done.set()

    def _bring_all_in(self) -> None:
        for version in dict.fromkeys(self._wanted):
            # One at a time: requests for others find most of the loading threads free.
            if not self._wait_for(self._admissions.start(version)):
                return
            if not self._upload(version):
                return

    def _wait_for(self, future: Future[None]) -> bool:
        """Whether it is done before the end has come."""
        while not self._stop.is_set():
            try:
                future.result(_GLANCE_S)
            except TimeoutError:
                continue
            except Exception:
                log.exception("A version of the warm set could not be admitted")
            return True
        return False

    def _upload(self, version: Version) -> bool:
        """Bring a ready version onto the device; False once there is no free room left."""
        with self._tasks.lock:
            prepared = version.prepared
            if not version.is_ready or version.is_leaving or prepared is None:
                return True
            version.in_flight += 1
        try:
            if self._engine.residency(prepared) is Residency.DEVICE:
                return True
            if self._engine.stats().free_slots < 1:
                return False  # what requests have brought in since is warmer
            self._engine.hold(prepared)
            self._engine.release(prepared)
        except CapacityError:
            return False
        except PolyheadError as error:
            log.warning("%s of the warm set was not brought in: %s", version.task, error)
        finally:
            self._tasks.leave(version)
        return True

    def _keep(self) -> None:
        num_looks = 0
        while not self._stop.wait(_LOOK_S):
            num_looks += 1
            self._warm.look(self._clock())
            if num_looks % _SAVE_EVERY == 0:
                self._warm.save(self._clock())
