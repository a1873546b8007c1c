"""A LocalService whose tasks follow their catalog, change on demand, and come back warm."""

from __future__ import annotations

import threading

from serving.lifecycle.admitting.admission import Admitter
from serving.lifecycle.changing.operations import LocalLifeCycle
from serving.lifecycle.changing.overrides import Overrides
from serving.lifecycle.follower import Follower, Outlines
from serving.lifecycle.glances import Glances
from serving.lifecycle.live.whereabouts import Whereabouts, whereabouts
from serving.lifecycle.remembering.remembered import Remembered
from serving.lifecycle.remembering.verdict_files import VerdictFiles
from serving.lifecycle.remembering.warmth import WarmSet, Warmth
from serving.local_service import LocalService
from serving.metrics import Recorder
from serving.observing import Observer
from serving.opening import Opened
from serving.settings import Settings


class HotService(LocalService):
    """As LocalService; beside it, tasks follow the catalog and the warm set is kept.

    Args:
        opened: the engine, the tasks and where they come from; the engine stays the caller's.
        settings: limits.
        recorder: takes the measurements.
    """

    def __init__(self, opened: Opened, settings: Settings, recorder: Recorder) -> None:
        engine, tasks, store = opened.engine, opened.tasks, opened.store
        remembered = Remembered(settings.state_folder)
        verdicts = VerdictFiles(remembered)
        admitter = Admitter(engine, tasks, verdicts, settings.load_threads, settings.quarantine_s)
        super().__init__(engine, tasks, admitter, settings, recorder)
        in_step, overrides = threading.Lock(), Overrides()
        operations = LocalLifeCycle(tasks, store, engine, admitter, settings, in_step, overrides)
        warm = WarmSet(tasks, remembered, store.place, settings.warm_tasks)
        self._outlines = Outlines(tasks, engine)
        self._warmth = Warmth(tasks, engine, admitter, warm)
        self._follower = Follower(
            tasks,
            store,
            self._outlines,
            admitter,
            overrides,
            Observer(recorder).reloaded,
            in_step,
            settings.poll_s,
        )
        self._operations = operations
        self.life_cycle = operations
        self.roll_back = operations.roll_back
        self.look = Glances(self._follower.follow).glance
        self.is_warm_by = lambda: self._warmth.is_done
        self.is_writable = store.is_writable

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait for the device."""
        return self._pipeline.loop.num_tokens

    def whereabouts(self) -> Whereabouts:
        """Which tasks are on the device, and which cannot answer. Any thread."""
        return whereabouts(self._tasks, self._engine.residency)

    def outline(self, num_threads: int) -> None:
        """Look at the configs of all tasks that have not been read yet. Blocks."""
        versions = [
            version for task in self._tasks for version in task.versions if not version.is_ready
        ]
        self._outlines.draw_all(versions, num_threads)

    async def start(self) -> None:
        """Start the threads; answers come back to the running event loop."""
        await super().start()
        self._follower.start()
        self._warmth.start()

    def stop(self) -> None:
        """Answer what is inside, then end the threads and write the warm set down. Blocks."""
        self.drain()
        self._follower.stop()
        self._operations.close()
        self._warmth.stop()
        super().stop()
