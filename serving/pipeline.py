"""From a Job to its Answer: encode on workers, queue, run, decode on workers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar, cast

from adapter_runtime import Encode, Engine
from serving.admission.foresight import Foresight
from serving.admission.permits import Permits
from serving.jobs import Job
from serving.logs import About
from serving.scheduler.chores import Chores, Reading, num_chars
from serving.scheduler.entries import Entry
from serving.scheduler.loop import BatchLimits, BatchLoop
from serving.scheduler.mates import join_mates
from serving.scheduler.policy import LOW_TURN
from serving.scheduler.running import Listener
from serving.service import Answer
from serving.settings import Settings
from serving.workers import Chore, Deliveries, Workers

_SHARE = 8
"""Answers that a worker decodes before it delivers them."""

_NOBODY, _LOW_WEIGHT = " ", 1 / LOW_TURN
"""Whose texts those are that no client waits for: nobody's who has a key."""

_LET_GO_S = 1e-6
"""As short as the system can."""

Thing = TypeVar("Thing")
Hear = Callable[[Callable[[Sequence[Entry]], None]], Listener]


class Pipeline:
    """A request touches the event loop twice here: when it comes and when its answer leaves.

    Args:
        engine: owner of the device.
        settings: limits.
        clock: monotonic seconds.
        hear: makes the listener of the batch loop from what takes finished entries.
    """

    def __init__(
        self, engine: Engine, settings: Settings, clock: Callable[[], float], hear: Hear
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        limits = BatchLimits(
            max_batch_s=settings.max_batch_s,
            min_tokens=settings.min_batch_tokens,
            max_tokens=settings.max_batch_tokens,
            max_rows=settings.max_batch_rows,
        )
        listener = hear(self._finished)
        self.loop = BatchLoop(engine, limits, clock, listener, settings.load_threads)
        foresight = Foresight(self.loop.drain_s, clock)
        most = settings.max_requests, settings.max_rows
        self.permits = Permits(*most, foresight, settings.max_queue_s)
        self._counting = threading.Lock()
        self._groups: dict[str, list[Job]] = {}

    def start(self) -> None:
        """Start the threads; answers come back to the running event loop."""
        self._deliveries = Deliveries(asyncio.get_running_loop())
        count = self._settings.encode_threads or max(2, (os.cpu_count() or 2) // 2)
        self._chores = Chores(count)
        self._workers = Workers(count, chores=self._chores)
        self.loop.start()

    def stop(self, timeout_s: float) -> bool:
        """Answer what is inside, then end the threads. Blocks.

        Args:
            timeout_s: longest wait for encode threads.

        Returns:
            Whether all have ended.
        """
        self.loop.stop()
        return self._workers.close(timeout_s)

    @property
    def num_chores(self) -> int:
        """What waits for a worker: inputs to encode, shares of answers to decode."""
        return self._workers.num_chores

    async def answer(self, job: Job) -> Answer:
        """Answer one Job; a cancelled caller drops its rows.

        Raises:
            PolyheadError: it cannot be answered.
        """
        left_s = max(0.0, job.deadline_s - self._clock())
        timer = asyncio.get_running_loop().call_later(left_s, job.expire)
        self._begin(job)
        try:
            return await job.future
        finally:
            timer.cancel()
            job.abandon()

    def _begin(self, job: Job) -> None:
        """Have a Job encoded, with those of its group that come in this turn of the event loop."""
        group = job.call.group
        if not group:
            self._read((job,))
            return
        if group not in self._groups:
            asyncio.get_running_loop().call_soon(self._begin_group, group)
        self._groups.setdefault(group, []).append(job)

    def _begin_group(self, group: str) -> None:
        self._read(self._groups.pop(group))

    def _read(self, jobs: Sequence[Job]) -> None:
        """Have Jobs that came together encoded when it is their caller's turn."""
        job, call = jobs[0], jobs[0].call
        whose = (_NOBODY, _LOW_WEIGHT) if job.is_low else (call.caller, call.weight)
        chore = partial(self._encode, jobs)
        self._chores.put_reading(Reading(chore, num_chars(call.items), call.task, *whose))

    def _encode(self, jobs: Sequence[Job]) -> None:
        """Turn the inputs of Jobs that came together into queued rows. On a worker."""
        encode = self._engine.encode if len(jobs) == 1 else self._engine.encoder()
        entries: list[Entry] = []
        for job in jobs:
            with About(job.call.request_id, job.call.trace_id):
                entries += self._encoded(job, encode)
        if len(jobs) > 1:
            join_mates(entries)
        if entries:
            self.loop.submit([entry for entry in entries if not entry.is_finished])
            self._decode([entry for entry in entries if entry.is_finished])

    def _encoded(self, job: Job, encode: Encode) -> list[Entry]:
        """A Job's entries; none where nobody waits for them any more."""
        if job.is_abandoned:
            return []
        started_s = self._clock()
        try:
            entries = self._entries(job, encode)
        except Exception as error:
            self._deliveries.put(partial(job.fail, error))
            return []
        now_s = self._clock()
        job.encode_s = now_s - started_s
        for entry in entries:
            entry.queued_s = entry.started_s = now_s
        return entries if job.attach(entries) else []

    def _entries(self, job: Job, encode: Encode) -> list[Entry]:
        """All items, encoded; room for their rows is taken one by one, before the next are made."""
        entries: list[Entry] = []
        num_rows = num_items = len(job.call.items)
        for index in range(num_items):
            if job.is_abandoned:
                break
            entries.append(self._entry(job, index, encode))
            num_rows += len(entries[-1].outcomes) - 1
            if job.permit is not None:
                self.permits.grow(job.permit, num_rows)
        if job.permit is not None:
            self.permits.weigh(job.permit, sum(entry.num_tokens for entry in entries))
        return entries

    def _entry(self, job: Job, index: int, encode: Encode) -> Entry:
        try:
            encoded = encode(job.version, job.call.items[index], job.call.parameters)
        except Exception as error:
            raise job.placed(error, index) from error
        return Entry(
            job.version,
            encoded,
            0.0,
            job.deadline_s,
            owner=(job, index),
            is_low=job.is_low,
            caller=job.call.caller,
            priority=job.call.priority,
            weight=job.call.weight,
            request_id=job.call.request_id,
        )

    def _finished(self, entries: Sequence[Entry]) -> None:
        """Hand finished entries to workers at once, so that the device is not kept waiting.

        With nothing to run, it waits for nobody: a lone short answer is decoded where it stands,
        which is sooner than to wake a worker for it.
        """
        if len(entries) == len(entries[0].outcomes) == 1 and not self.loop.num_rows:
            self._decode(entries)
            # Else the event loop would wait for the interpreter's lock until the lane has ended.
            time.sleep(_LET_GO_S)
            return
        for some in _shares(entries):
            self._workers.do(partial(self._decode, some))

    def _decode(self, entries: Sequence[Entry]) -> None:
        """Turn finished entries into answers, and deliver them together. On a worker."""
        self._deliveries.put(*filter(None, map(self._delivery, entries)))

    def _delivery(self, entry: Entry) -> Chore | None:
        """What tells whoever waits for an entry; None where others of its Job are open."""
        job, index = cast("tuple[Job, int]", entry.owner)
        if job.is_abandoned:
            return None
        if job.permit is not None and len(job.entries) > 1:
            self.permits.ran(job.permit, entry.num_tokens)
        with About(job.call.request_id, job.call.trace_id):
            return self._decoded(job, index, entry)

    def _decoded(self, job: Job, index: int, entry: Entry) -> Chore | None:
        try:
            if entry.error is not None:
                raise entry.error
            began_s = self._clock()
            job.outputs[index] = self._engine.decode(job.version, entry.encoded, entry.answers())
            now_s = self._clock()
            with self._counting:
                job.decode_s += now_s - began_s
                job.num_open -= 1
                is_complete = job.num_open == 0
            return partial(job.resolve, job.answer(now_s)) if is_complete else None
        except Exception as error:  # of one entry; its share's others are delivered
            return partial(job.fail, job.placed(error, index))


def _shares(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    """Enough for a worker to be worth its waking, few enough for the first not to wait long."""
    return (things[start : start + _SHARE] for start in range(0, len(things), _SHARE))
