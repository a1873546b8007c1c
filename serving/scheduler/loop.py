"""The compute lanes: whenever one is free, it runs the batch that the policy picks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from adapter_runtime import Arrays, Engine, Residency, RowFailed, TaskVersion, WorkItem
from serving.scheduler.drafts import Budget, Draft
from serving.scheduler.entries import Entry, Key, key_of
from serving.scheduler.loading import Loader
from serving.scheduler.low import LowRun
from serving.scheduler.policy import FairQueue
from serving.scheduler.running import Listener, Runner
from serving.scheduler.speed import Speed

log = logging.getLogger(__name__)
WARM = frozenset({Residency.HOST, Residency.DEVICE})
"""In memory: no file is read before it answers."""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large one forward may get.

    Args:
        max_batch_s: a forward should take no longer, as far as can be predicted.
        min_tokens: always allowed; below it fixed costs dominate and nobody is served faster.
        max_tokens, max_rows: never exceeded.
    """

    max_batch_s: float = 0.1
    min_tokens: int = 384
    max_tokens: int = 16384
    max_rows: int = 512


class BatchLoop:
    """Owns the queue, the compute lanes and the loading of cold versions. Thread-safe.

    A lane is a thread that runs one batch at a time. Where the engine has several lanes (one per
    core on CPU) each takes batches of its own, so that no core waits for another's last row. How
    many may run side by side is asked before each batch.

    Args:
        engine: runs the batches.
        limits: how large a batch may get.
        clock: monotonic seconds.
        listener: hears of finished work.
        load_threads: cold versions that load side by side.
    """

    def __init__(
        self,
        engine: Engine,
        limits: BatchLimits,
        clock: Callable[[], float],
        listener: Listener,
        load_threads: int = 4,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._clock = clock
        self._queue = FairQueue()
        self._speed = Speed()
        self._changed = threading.Condition()
        self._runner = Runner(engine, clock, listener, self._speed, self._changed, self._put_back)
        self._loader = Loader(
            engine,
            clock,
            self._queue,
            self._changed,
            listener.loaded,
            self._runner.fail,
            load_threads,
        )
        self._is_started = self._is_stopping = False
        self._running: list[Draft] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the compute lanes."""
        with self._changed:
            self._is_started = True
            self._add_lanes()

    def stop(self) -> None:
        """Answer what is queued, fail low rows, and end the threads. Blocks.

        Cold versions are still brought in for rows that wait, until their deadlines.
        """
        with self._changed:
            self._is_stopping = True
            low = self._queue.remove(lambda entry: entry.is_low)
            self._changed.notify_all()
        self._runner.fail(low, _stopped())
        for thread in self._threads:
            thread.join()
        self._loader.close()
        self._runner.fail(self._queue.remove(lambda _: True), _stopped())

    def submit(self, entries: Sequence[Entry]) -> None:
        """Queue entries; returns at once."""
        with self._changed:
            is_stopped = self._is_stopping
            if not is_stopped:
                self._queue_up(entries)
                self._add_lanes()
                self._changed.notify()
        if is_stopped:
            self._runner.fail(entries, _stopped())

    def _queue_up(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._queue.add(entry)
        versions = {key_of(entry.version): entry.version for entry in entries}
        if not all(map(self._loader.is_warm, versions.values())):
            self._loader.start()

    def run_low(self, items: Sequence[WorkItem], deadline_s: float) -> list[Arrays | Exception]:
        """Run rows at low priority and give one outcome for each, in order. Blocks.

        Not from a listener's call. The version need not serve; it is held as long as its rows wait.
        An outcome is the row's own error where it failed: `DeadlineExceeded` where it was too late.

        Args:
            items: the rows, of any versions.
            deadline_s: seconds from now.
        """
        low = LowRun(items, self._clock(), deadline_s)
        self.submit(low.entries)
        return low.wait()

    def fail_waiting(self, version: TaskVersion, error: Exception) -> None:
        """End the rows of a version that wait for a batch, but for those of `run_low`."""
        with self._changed:
            key = key_of(version)
            out = self._queue.remove(
                lambda entry: key_of(entry.version) == key and not isinstance(entry.owner, LowRun)
            )
        self._runner.fail(out, error)

    def warm_up(self, version: TaskVersion) -> None:
        """Start loading a cold version in the background; single-flight."""
        with self._changed:
            self._loader.loads.want(version)
            self._loader.start()

    @property
    def num_rows(self) -> int:
        """Rows that wait."""
        return self._queue.num_rows

    @property
    def num_tokens(self) -> int:
        """Tokens that wait."""
        return self._queue.num_tokens

    @property
    def last_ran_s(self) -> float:
        """When a forward last succeeded, on the loop's clock."""
        return self._runner.last_ran_s

    def backlog_s(self) -> float:
        """Predicted seconds until what is queued and running now has run, low rows included."""
        tokens = self._queue.num_tokens + sum(draft.tokens for draft in list(self._running))
        return self._speed.predict_s(tokens) / self._num_lanes

    def drain_s(self, tokens: float) -> float:
        """Predicted seconds for so many tokens in full batches; 0 before the first one ran."""
        batch = self._full_tokens()
        num_full, rest = divmod(tokens, batch)
        full_s = num_full * self._speed.predict_s(batch)
        rest_s = self._speed.predict_s(ceil(rest)) if rest else 0.0
        return (full_s + rest_s) / self._num_lanes

    @property
    def _num_lanes(self) -> int:
        return max(1, self._engine.info.num_lanes)

    def _add_lanes(self) -> None:
        """Have a thread for each lane. The lock is held."""
        while self._is_started and len(self._threads) < self._num_lanes:
            name = f"compute-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        while (draft := self._next_draft()) is not None:
            try:
                self._runner.drop(draft.dropped)
                if draft.picks:
                    self._runner.run(draft)
            except Exception as error:
                log.exception("A compute lane met an unexpected error and goes on")
                self._runner.fail([pick.entry for pick in draft.picks], error)
            finally:
                self._end(draft)

    def _next_draft(self) -> Draft | None:
        """Wait for rows to run or entries to drop; None when stopped and done."""
        with self._changed:
            while True:
                if self._may_run():
                    draft = self._queue.next_batch(
                        self._clock(), self._budget(), self._loader.is_warm
                    )
                    if draft.picks or draft.dropped:
                        self._running.append(draft)
                        if self._queue.num_rows:
                            self._changed.notify()
                        return draft
                    self._loader.start()
                if self._is_stopping and not self._queue.num_rows:
                    return None
                self._wait()

    def _may_run(self) -> bool:
        return len(self._running) < self._num_lanes and not self._loader.loads.is_pressing

    def _wait(self) -> None:
        """Wait for a change; entries that wait for their weights still have deadlines to keep."""
        is_patient = not self._queue.num_rows and not self._is_stopping
        is_changed = self._changed.wait(None if is_patient else _POLL_S)
        if not is_changed:
            self._loader.loads.ease(is_idle=not self._running)

    def _end(self, draft: Draft) -> None:
        with self._changed:
            self._running.remove(draft)
        self._loader.batch_ended(draft.versions() - draft.returned, self._busy)

    def _put_back(self, entry: Entry, rows: Sequence[int]) -> None:
        self._loader.loads.send_back(entry.version)
        self._queue.put_back(entry, rows)

    def _busy(self) -> set[Key]:
        return {key for draft in self._running for key in draft.versions()}

    def _budget(self) -> Budget:
        # A lane takes no more than its share of all that is here: the others are free soon too.
        here = self._queue.num_tokens + sum(draft.tokens for draft in self._running)
        share = ceil(here / self._num_lanes)
        tokens = min(self._full_tokens(), max(share, 1))
        return Budget(tokens, self._limits.max_rows, self._engine.info.max_batch_adapters)

    def _full_tokens(self) -> int:
        limits = self._limits
        most = self._speed.budget_tokens(limits.max_batch_s, limits.max_tokens)
        return max(most, limits.min_tokens)


def _stopped() -> RowFailed:
    return RowFailed("The server stopped before the input could run.")
