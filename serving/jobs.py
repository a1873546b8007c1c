"""One Call while it is being answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from adapter_runtime import InvalidInput, Residency, TaskVersion, Timing
from serving.admission.deadlines import late
from serving.admission.permits import Permit
from serving.recent import Batch, busy_s
from serving.scheduler.entries import Entry
from serving.service import Answer, Call, Course


@dataclass(slots=True, eq=False)
class Job:
    """A Call's inputs on their way; `future` belongs to the event loop, the rest to workers.

    Args:
        call: what was asked.
        version: who answers, fixed at admission.
        residency: where its weights were at admission.
        permit: the right to be here; None for a copy that has no claim to any.
        future: takes the Answer or the error, on the event loop only.
        deadline_s: on the service's clock.
        version_id: what clients call the version.
        is_low: no client waits for it; it runs when there is time.
        admission_s: how long it waited for its version to be read and checked, in seconds.
    """

    call: Call
    version: TaskVersion
    residency: Residency
    permit: Permit | None
    future: asyncio.Future[Answer]
    deadline_s: float
    version_id: str
    is_low: bool = False
    admission_s: float = 0.0
    encode_s: float = 0.0
    decode_s: float = 0.0
    is_abandoned: bool = False
    entries: list[Entry] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    num_open: int = 0

    def attach(self, entries: list[Entry]) -> bool:
        """Take over the encoded items; False when nobody waits for them any more."""
        self.outputs = [None] * len(entries)
        self.num_open = len(entries)
        self.entries = entries  # from here on, abandoning the job reaches them
        if self.is_abandoned:
            self.abandon()
        return not self.is_abandoned

    def placed(self, error: Exception, index: int) -> Exception:
        """An error of one item, with its place where the client sent a list."""
        return name_item(error, index) if self.call.is_list else error

    def resolve(self, answer: Answer) -> None:
        """Hand the answer over, unless nobody waits any more. Event loop only."""
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Hand an error over and stop the rest of the work. Event loop only."""
        self.abandon()
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """The deadline has come. Event loop only."""
        self.fail(late(self.call.deadline_s))

    def abandon(self) -> None:
        """Nobody waits any more: rows that have not run are dropped. Any thread.

        An entry knows its Job: one that kept its entries would keep a large body in memory until
        the collector comes by.
        """
        self.is_abandoned = True
        entries, self.entries = self.entries, []
        for entry in entries:
            entry.is_cancelled = True

    def answer(self, now_s: float) -> Answer:
        """The Answer of a job whose outputs are complete.

        Args:
            now_s: the time on the service's clock.
        """
        slowest = max(self.entries, key=lambda entry: entry.started_s)
        waited_s = slowest.started_s - slowest.queued_s - slowest.load_s - _busy_before(slowest)
        compute_s = busy_s(slowest.batches)
        times = (self.encode_s, max(0.0, waited_s), slowest.load_s, compute_s, self.decode_s)
        return Answer(
            outputs=tuple(self.outputs),
            kind=self.version.kind,
            version=self.version_id,
            residency=self.residency,
            timing=Timing(*times),
            batch_tokens=slowest.batch_tokens,
            batch_tasks=slowest.batch_tasks,
            truncated=any(entry.encoded.truncated for entry in self.entries),
            num_tokens=sum(entry.num_tokens for entry in self.entries),
            course=self._course(slowest, now_s),
        )

    def _course(self, slowest: Entry, now_s: float) -> Course:
        ended_s = time.time()
        to_unix_s = ended_s - now_s
        queued_s = slowest.queued_s + to_unix_s
        return Course(
            began_s=queued_s - self.encode_s,
            queued_s=queued_s,
            loaded_s=slowest.loaded_s + to_unix_s if slowest.loaded_s else 0.0,
            ended_s=ended_s,
            admission_s=self.admission_s,
            batches=self._batches(),
        )

    def _batches(self) -> tuple[Batch, ...]:
        """Those that its rows were in, each once."""
        if len(self.entries) == 1:
            return self.entries[0].batches
        return tuple({one.id: one for entry in self.entries for one in entry.batches}.values())


def _busy_before(entry: Entry) -> float:
    """Seconds in which its rows computed before its last batch did."""
    last = max(entry.batches, key=lambda batch: batch.began_s, default=None)
    return 0.0 if last is None else busy_s(entry.batches, last.ended_s - last.compute_s)


def name_item(error: Exception, index: int) -> Exception:
    """The error with the item's place in the client's list."""
    if not isinstance(error, InvalidInput) or not error.field.startswith("inputs"):
        return error
    message = str(error).removeprefix(f"{error.field}: ")
    return type(error)(message, f"inputs[{index}]{error.field.removeprefix('inputs')}")
