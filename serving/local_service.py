"""The Service that does everything in this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from adapter_runtime import Engine, Residency, TaskVersion
from serving.admission.flows import Flow
from serving.admission.items import check_items
from serving.admission.pace import Pace
from serving.admission.permits import Permit
from serving.copying import Copies
from serving.errors import DeviceFailed, Overloaded, StillLoading, UnknownVersion
from serving.jobs import Job
from serving.lifecycle.admitting.admission import Admitter
from serving.lifecycle.admitting.tending import Caretaker
from serving.lifecycle.admitting.waiting import WaitingRoom, draining
from serving.lifecycle.judging.judge import Judge, RollBack
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.lifecycle.live.viewing import view_of
from serving.listening import Ears
from serving.metrics import Recorder
from serving.observing import UNKNOWN, Observer
from serving.pipeline import Pipeline
from serving.pulse import Pulse
from serving.recent import Batch, RecentBatches
from serving.scheduler.entries import rank_of
from serving.scheduler.loop import WARM
from serving.service import Answer, Call, LifeCycle
from serving.settings import Settings
from serving.views import TaskView

log = logging.getLogger(__name__)
_CLOSE_S = 2.0
"""Whoever had patience has been waited for before; an answer that still comes has no reader."""


class LocalService:
    """Resolve, admit, encode on workers, queue, run, decode on workers, answer.

    Args:
        engine: owner of the device; stays the caller's to close.
        tasks: the live tasks.
        admitter: reads and checks their versions; the service starts and stops it.
        settings: limits.
        recorder: takes the measurements.
        clock: monotonic seconds.

    Attributes:
        life_cycle: changes the tasks; set by whoever puts the server together.
        roll_back: takes a version out of the traffic that trips its rule; likewise.
        look: takes over what the catalog says now; likewise.
        is_warm_by: says whether what was to be loaded at start has been; likewise.
        is_writable: whether the catalog can be changed.
    """

    life_cycle: LifeCycle

    def __init__(
        self,
        engine: Engine,
        tasks: Tasks,
        admitter: Admitter,
        settings: Settings,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._tasks = tasks
        self._admitter = admitter
        self._settings = settings
        self._clock = clock
        self.roll_back: RollBack = _keep
        self.look: Callable[[], Awaitable[None]] = _see_nothing
        self.is_warm_by: Callable[[], bool] = lambda: True
        self.is_writable = False
        self._observer = observer = Observer(recorder)
        self._ears = Ears(tasks, admitter, observer, RecentBatches(settings.keep_batches))
        self._pipeline = Pipeline(engine, settings, clock, self._ears.listener)
        self._ears.fail_waiting = self._pipeline.loop.fail_waiting
        self._pulse = Pulse(engine, self._pipeline.loop, clock)
        self._judge = Judge(tasks, admitter.outcomes, self._roll_back)
        self._caretaker = Caretaker(tasks, engine, admitter)
        half = settings.max_requests // 2, settings.max_rows // 2
        self._waiting = WaitingRoom(*half, clock)
        self._copies = Copies(tasks, self._judge, observer, self._aside, self._is_busy)
        self._pace = Pace()
        self._is_draining = False

    async def start(self) -> None:
        """Start the threads; answers come back to the running event loop."""
        self._waiting.open()
        self._pipeline.start()
        self._admitter.run = self._pipeline.loop.run_low
        self._caretaker.start()

    def stop(self) -> None:
        """Answer what is inside, then end the threads. Blocks."""
        self.drain()
        self._caretaker.stop()
        self._admitter.close()
        if not self._pipeline.stop(_CLOSE_S):
            log.warning("Encode threads are still busy; their inputs are dropped")
        if not self._admitter.stop(_CLOSE_S):
            log.warning("Admissions are still going on; they are dropped")

    def drain(self) -> None:
        """Refuse everything new from now on; what is inside goes on, but for who waits for loads.

        Any thread, and signal handlers.
        """
        if self._is_draining:
            return
        self._is_draining = True
        self._waiting.close(self._copies.close)

    @property
    def is_draining(self) -> bool:
        """Whether new Calls are refused."""
        return self._is_draining

    @property
    def is_warm(self) -> bool:
        """Whether what was to be loaded at start has been, or has failed."""
        return self.is_warm_by()

    @property
    def num_inside(self) -> int:
        """Calls admitted and not yet answered."""
        return self._pipeline.permits.num_requests

    async def check(self) -> None:
        """Return if the device computes.

        Raises:
            DeviceFailed: it raises, or hangs.
        """
        try:
            await self._pulse.check()
        except DeviceFailed:
            self._observer.device_failed()
            raise

    async def answer(self, call: Call) -> Answer:
        """Answer one Call; a cancelled task drops its rows.

        Raises:
            PolyheadError: the Call cannot be answered.
        """
        started_s = self._clock()
        try:
            answer = await self._answer(call, started_s)
        except (Exception, asyncio.CancelledError) as error:
            self._observer.refused(call.task if call.task in self._tasks else UNKNOWN, error)
            if isinstance(error, Overloaded):
                await self._pace.pause(self._clock(), call.deadline_s)
            raise
        self._observer.answered(call.task, answer, self._clock() - started_s)
        return answer

    async def _answer(self, call: Call, now_s: float) -> Answer:
        if self._is_draining:
            raise draining()
        await self._find(call.task)
        check_items(call.items, self._settings.max_items)
        until_s = now_s + call.deadline_s
        flow = Flow(call.task, call.caller, rank_of(call.priority), call.weight)
        with self._pipeline.permits.take(len(call.items), flow, call.deadline_s) as permit:
            version, has_waited = await self._enter(call, until_s)
            try:
                answer = await self._run(call, version, permit, until_s, has_waited)
            except Exception as error:
                self._ears.failed(version, error)
                if self._judge.failed(version, error):
                    self._observer.version_failed(call.task, str(version.id))
                raise
            finally:
                self._tasks.leave(version)
            self._judge.answered(version, self._clock() - now_s)
            self._copies.offer(call, version, answer)
            return answer

    async def _enter(self, call: Call, until_s: float) -> tuple[Version, bool]:
        """The version that answers, counted as in use, and whether it had to be waited for."""
        has_waited = False
        while True:
            version, is_ready = await self._try_to_enter(call)
            if is_ready:
                return version, has_waited
            admission = self._admitter.start(version, is_awaited=True)
            estimate_s = self._admitter.estimate_s(version)
            if not call.waits:
                raise StillLoading(f"{call.task} is loading; try again soon.", estimate_s)
            with self._waiting.place(version, len(call.items), estimate_s):
                await self._waiting.wait(admission, until_s)
            has_waited = True

    async def _try_to_enter(self, call: Call) -> tuple[Version, bool]:
        try:
            return self._tasks.enter(call.task, call.version)
        except UnknownVersion:
            await self.look()
            return self._tasks.enter(call.task, call.version)

    async def _run(
        self, call: Call, version: Version, permit: Permit, until_s: float, has_waited: bool
    ) -> Answer:
        prepared = version.prepared
        assert prepared is not None, "A ready version was never read. This is a bug."
        residency = Residency.ABSENT if has_waited else self._engine.residency(prepared)
        job = self._job(call, version, prepared, until_s)
        job.permit, job.residency = permit, residency
        if has_waited or residency in WARM:
            return await self._pipeline.answer(job)
        estimate_s = self._ears.estimate_s(prepared)
        if not call.waits:
            self._pipeline.loop.warm_up(prepared)
            raise StillLoading(f"{call.task} is loading; try again soon.", estimate_s)
        with self._waiting.place(version, len(call.items), estimate_s):
            return await self._pipeline.answer(job)

    def _job(self, call: Call, version: Version, prepared: TaskVersion, until_s: float) -> Job:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        id = version.id or prepared.id
        return Job(call, prepared, Residency.DEVICE, None, future, until_s, id)

    async def _aside(self, version: Version, prepared: TaskVersion, call: Call) -> Answer:
        job = self._job(call, version, prepared, self._clock() + call.deadline_s)
        job.is_low = True
        return await self._pipeline.answer(job)

    def _is_busy(self) -> bool:
        """Whether rows that clients wait for stand in a long queue."""
        loop = self._pipeline.loop
        is_long = loop.num_rows > 0 and loop.backlog_s() > self._settings.max_batch_s
        return self._is_draining or is_long

    def _roll_back(self, task: str, version: str, reason: str) -> None:
        self._observer.rolled_back(task)
        self.roll_back(task, version, reason)

    def measure(self) -> None:
        """Set the gauges to what is true now."""
        loop = self._pipeline.loop
        self._observer.open(self.is_warm and not self._is_draining)
        self._observer.resident(self._engine.stats(), self._tasks.count_by_state())
        chores = self._pipeline.num_chores
        self._observer.waiting(loop.num_rows, loop.num_tokens, self.num_inside, chores)
        self._observer.present(self._ears.residency_by_task(self._engine.residency))

    async def batches(self, last: int) -> Sequence[Batch]:
        """The last batches that ran, the newest first."""
        return self._ears.recent.last(last)

    async def tasks(self) -> Sequence[TaskView]:
        """All tasks, ready or not."""
        # A thousand tasks take a while to tell of: requests go on meanwhile.
        return await asyncio.to_thread(self._views)

    def _views(self) -> Sequence[TaskView]:
        found = []
        for task in self._tasks:
            # One by one: threads that admit must not wait for all of a thousand pages.
            with self._tasks.lock:
                found.append(view_of(task, self._engine, self._tasks.clock(), self.is_writable))
        return found

    async def task(self, name: str) -> TaskView:
        """One task.

        Raises:
            UnknownTask: there is none of that name.
        """
        await self._find(name)
        with self._tasks.lock:
            task = self._tasks.find(name)
            return view_of(task, self._engine, self._tasks.clock(), self.is_writable)

    async def _find(self, name: str) -> None:
        """Raises UnknownTask where the catalog does not know it either, looked at just now."""
        if name not in self._tasks:
            await self.look()
        self._tasks.find(name)


async def _see_nothing() -> None:
    """Tasks that stand for themselves follow no catalog."""


def _keep(task: str, version: str, reason: str) -> None:
    log.warning("Nobody can roll %s of %s back: %s", version, task, reason)
