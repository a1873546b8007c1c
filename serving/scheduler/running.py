"""One batch from its rows to whoever waits for them."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from adapter_runtime import Engine, RunResult, RunStats, TaskVersion
from serving.errors import DeviceFailed
from serving.logs import AboutBatch
from serving.recent import Batch
from serving.scheduler.attempts import Part, run_apart
from serving.scheduler.control import is_broken
from serving.scheduler.drafts import Draft
from serving.scheduler.entries import Entry, Key, Loaded, Pick, key_of
from serving.scheduler.low import LowRun
from serving.scheduler.settling import batch_of, settle
from serving.scheduler.speed import Speed

log = logging.getLogger(__name__)
_RETRY_S = 5.0


def _ignore(version: TaskVersion, error: Exception) -> None:
    pass


def _pass_over(entries: Sequence[Entry]) -> None:
    pass


def _forget(batch: Batch) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of finished work, each call from a compute or a loading thread.

    Args:
        finished: entries that have all outcomes or an error, each once; must return fast.
        ran: one forward's stats.
        loaded: one cold version came in, or could not.
        guilty: a version raised by itself or gave no finite numbers, with the error; once for each
            batch, before its entries are told; never for rows of `run_low`; must return fast.
        batched: one forward, whether it ran or failed.
        dropped: entries with rows that never ran: they were late, or nobody waited any more.
    """

    finished: Callable[[Sequence[Entry]], None]
    ran: Callable[[RunStats], None]
    loaded: Callable[[Loaded], None]
    guilty: Callable[[TaskVersion, Exception], None] = _ignore
    batched: Callable[[Batch], None] = _forget
    dropped: Callable[[Sequence[Entry]], None] = _pass_over


class Runner:
    """Runs batches and hands their outcomes on; each lane may use it at once.

    Args:
        engine: runs the batches.
        clock: monotonic seconds.
        listener: hears of everything but `run_low`.
        speed: learns from every forward.
        changed: guards entries, `speed` and what `put_back` changes.
        put_back: lets rows that found no room wait again.

    Attributes:
        last_ran_s: when a forward last succeeded.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float],
        listener: Listener,
        speed: Speed,
        changed: threading.Condition,
        put_back: Callable[[Entry, Sequence[int]], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._listener = listener
        self._speed = speed
        self._changed = changed
        self._put_back = put_back
        self.last_ran_s = -math.inf

    def run(self, draft: Draft) -> None:
        """Run a batch, apart where it raises. Blocks."""
        with AboutBatch(partial(_request_ids, draft.picks)):
            self._run(draft)

    def _run(self, draft: Draft) -> None:
        started_s = self._clock()
        blamed: set[Key] = set()
        for part in self._judged(run_apart(self._attempt, draft.picks)):
            for pick, error in part.guilt():
                version = pick.entry.version
                key = key_of(version)
                if key not in blamed and not isinstance(pick.entry.owner, LowRun):
                    blamed.add(key)
                    self._listener.guilty(version, error)
            self._settle(draft, part, started_s)

    def _judged(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Parts of a batch; those that failed only because the device has failed say so."""
        has_failed: bool | None = None
        for part in parts:
            if part.is_all_failed:
                if has_failed is None:
                    has_failed = is_broken(self._engine)
                yield Part(part.picks, error=_device_failed()) if has_failed else part
            else:
                yield part

    def _attempt(self, picks: Sequence[Pick]) -> RunResult:
        started_s = self._clock()
        try:
            result = self._engine.run([pick.work_item() for pick in picks], lanes=1)
        except Exception:
            log.exception("A batch of %d rows failed as a whole", len(picks))
            raise
        with self._changed:
            self.last_ran_s = self._clock()
            self._speed.observe(result.stats.num_tokens, self.last_ran_s - started_s)
        return result

    def _settle(self, draft: Draft, part: Part, started_s: float) -> None:
        batch = batch_of(part, started_s, self._clock())
        with self._changed:
            settled = settle(part, started_s, batch)
            for entry, rows in settled.returned.items():
                draft.returned.add(key_of(entry.version))
                self._put_back(entry, rows)
        self.tell(settled.finished)
        if part.result is not None:
            self._listener.ran(part.result.stats)
        self._listener.batched(batch)

    def fail(self, entries: Sequence[Entry], error: Exception) -> None:
        """End entries that have not ended yet."""
        with self._changed:
            failed = [entry for entry in dict.fromkeys(entries) if not entry.is_finished]
            for entry in failed:
                entry.error = error
        self.tell(failed)

    def drop(self, entries: Sequence[Entry]) -> None:
        """Hand on entries whose rows the queue has let go of before they ran."""
        if entries:
            self._listener.dropped(entries)
            self.tell(entries)

    def tell(self, entries: Sequence[Entry]) -> None:
        """Hand finished entries to whoever waits for them."""
        for low in {entry.owner for entry in entries if isinstance(entry.owner, LowRun)}:
            low.tell()
        others = [entry for entry in entries if not isinstance(entry.owner, LowRun)]
        if others:
            self._listener.finished(others)


def _request_ids(picks: Sequence[Pick]) -> Iterator[str]:
    return (pick.entry.request_id for pick in picks)


def _device_failed() -> DeviceFailed:
    return DeviceFailed(
        "The server's device failed; the server's log has the reason. Send the request again, and "
        "restart the server where that does not help.",
        _RETRY_S,
    )
