"""The Service that does everything in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from adapter_runtime import Engine, InvalidInput, TaskVersion
from serving.admission.permits import Permits
from serving.catalog.catalog import Catalog, Task
from serving.errors import Draining, StillLoading
from serving.jobs import Job
from serving.metrics import Recorder
from serving.observing import UNKNOWN, Observer
from serving.scheduler.entries import Entry, Loaded
from serving.scheduler.loop import WARM, BatchLimits, BatchLoop
from serving.scheduler.running import Listener
from serving.service import Answer, Call, TaskView
from serving.settings import Settings
from serving.workers import Deliveries, Workers

log = logging.getLogger(__name__)
_RETRY_LOADING_S = 1.0
_CLOSE_S = 2.0
"""Whoever had patience has been waited for before; an answer that still comes has no reader."""


class LocalService:
    """Resolve, admit, encode on workers, queue, run, decode on workers, answer.

    A request touches the event loop twice: when it comes and when its answer leaves.

    Args:
        engine: owner of the device; stays the caller's to close.
        catalog: the tasks.
        settings: limits.
        recorder: takes the measurements.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        settings: Settings,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._settings = settings
        self._clock = clock
        self._observer = Observer(recorder)
        listener = Listener(self._finished, self._observer.ran, self._loaded)
        limits = BatchLimits(
            max_batch_s=settings.max_batch_s,
            min_tokens=settings.min_batch_tokens,
            max_tokens=settings.max_batch_tokens,
            max_rows=settings.max_batch_rows,
        )
        self._loop = BatchLoop(engine, limits, clock, listener, settings.load_threads)
        self._permits = Permits(settings.max_requests, settings.max_rows, self._loop.backlog_s)
        self._counting = threading.Lock()
        self._is_draining = False

    async def start(self) -> None:
        """Start the threads; answers come back to the running event loop."""
        self._deliveries = Deliveries(asyncio.get_running_loop())
        self._workers = Workers(self._settings.encode_threads or max(2, (os.cpu_count() or 2) // 2))
        self._loop.start()

    def stop(self) -> None:
        """Answer what is inside, then end the threads. Blocks."""
        self._is_draining = True
        self._loop.stop()
        if not self._workers.close(_CLOSE_S):
            log.warning("Encode threads are still busy; their inputs are dropped")

    def drain(self) -> None:
        """Refuse everything new from now on; what is inside goes on."""
        self._is_draining = True

    @property
    def is_draining(self) -> bool:
        """Whether new Calls are refused."""
        return self._is_draining

    @property
    def is_warm(self) -> bool:
        """Whether what was to be loaded at start has been, or has failed."""
        return True

    @property
    def num_inside(self) -> int:
        """Calls admitted and not yet answered."""
        return self._permits.num_requests

    async def answer(self, call: Call) -> Answer:
        """Answer one Call; a cancelled task drops its rows.

        Raises:
            PolyheadError: the Call cannot be answered.
        """
        started_s = self._clock()
        try:
            answer = await self._answer(call, started_s)
        except (Exception, asyncio.CancelledError) as error:
            self._observer.refused(call.task if call.task in self._catalog else UNKNOWN, error)
            raise
        self._observer.answered(call.task, answer, self._clock() - started_s)
        return answer

    async def _answer(self, call: Call, now_s: float) -> Answer:
        if self._is_draining:
            raise Draining("The server is stopping; send the request again.", _RETRY_LOADING_S)
        version = self._catalog.resolve(call.task)
        self._check_items(call)
        residency = self._engine.residency(version)
        if not call.waits and residency not in WARM:
            self._loop.warm_up(version)
            raise StillLoading(f"{call.task} is loading; try again soon.", _RETRY_LOADING_S)
        loop = asyncio.get_running_loop()
        with self._permits.take(len(call.items)) as permit:
            future: asyncio.Future[Answer] = loop.create_future()
            job = Job(call, version, residency, permit, future, now_s + call.deadline_s)
            timer = loop.call_later(call.deadline_s, job.expire)
            self._workers.do(partial(self._encode, job))
            try:
                return await future
            finally:
                timer.cancel()
                job.abandon()

    def _check_items(self, call: Call) -> None:
        if not call.items:
            raise InvalidInput("is empty; expected at least one input.")
        if len(call.items) > self._settings.max_items:
            raise InvalidInput(
                f"holds {len(call.items)} items; send at most {self._settings.max_items} at once."
            )

    def _encode(self, job: Job) -> None:
        """Turn a job's inputs into queued rows. On a worker."""
        if job.is_abandoned:
            return
        started_s = self._clock()
        try:
            entries = self._entries(job)
        except Exception as error:
            self._deliveries.put(partial(job.fail, error))
            return
        now_s = self._clock()
        job.encode_s = now_s - started_s
        for entry in entries:
            entry.queued_s = entry.started_s = now_s
        if job.attach(entries):
            self._loop.submit([entry for entry in entries if not entry.is_finished])
            self._decode([entry for entry in entries if entry.is_finished])

    def _entries(self, job: Job) -> list[Entry]:
        """All items, encoded; room for their rows is taken one by one, before the next are made."""
        entries: list[Entry] = []
        num_rows = num_items = len(job.call.items)
        for index in range(num_items):
            if job.is_abandoned:
                break
            entries.append(self._entry(job, index))
            num_rows += len(entries[-1].outcomes) - 1
            self._permits.grow(job.permit, num_rows)
        return entries

    def _entry(self, job: Job, index: int) -> Entry:
        try:
            encoded = self._engine.encode(job.version, job.call.items[index], job.call.parameters)
        except Exception as error:
            raise job.placed(error, index) from error
        return Entry(job.version, encoded, 0.0, job.deadline_s, owner=(job, index))

    def _finished(self, entries: Sequence[Entry]) -> None:
        """Hand finished entries to a worker at once, so that the device is not kept waiting."""
        self._workers.do(partial(self._decode, entries))

    def _loaded(self, load: Loaded) -> None:
        if load.error is None:
            self._observer.loaded(load.took_s)

    def _decode(self, entries: Sequence[Entry]) -> None:
        """Turn finished entries into answers. On a worker."""
        for entry in entries:
            job, index = cast("tuple[Job, int]", entry.owner)
            if job.is_abandoned:
                continue
            try:
                if entry.error is not None:
                    raise entry.error
                job.outputs[index] = self._engine.decode(
                    job.version, entry.encoded, entry.answers()
                )
            except Exception as error:
                self._deliveries.put(partial(job.fail, job.placed(error, index)))
                continue
            with self._counting:
                job.num_open -= 1
                is_complete = job.num_open == 0
            if is_complete:
                self._deliveries.put(partial(job.resolve, job.answer()))

    def measure(self) -> None:
        """Set the gauges to what is true now."""
        self._observer.resident(self._engine.stats(), self._catalog.count_by_state())
        self._observer.waiting(self._loop.num_rows, self._loop.num_tokens, self.num_inside)

    def tasks(self) -> Sequence[TaskView]:
        """All tasks, ready or not."""
        return [self._view(task) for task in self._catalog]

    def task(self, name: str) -> TaskView:
        """One task.

        Raises:
            UnknownTask: there is none of that name.
        """
        return self._view(self._catalog.find(name))

    def _view(self, task: Task) -> TaskView:
        if task.version is None:
            return TaskView(task.name, task.state, reason=task.reason)
        version: TaskVersion = task.version
        return TaskView(
            name=task.name,
            state=task.state,
            kind=version.kind,
            labels=version.labels,
            version=version.id,
            digest=version.digest,
            residency=self._engine.residency(version),
            max_tokens=version.limits.max_tokens,
            overflow=version.limits.overflow,
        )
