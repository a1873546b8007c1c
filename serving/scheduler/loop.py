"""The compute lanes: whenever one is free, it runs the batch that the policy picks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil

from adapter_runtime import (
    Engine,
    PolyheadError,
    Residency,
    RowFailed,
    RunResult,
    RunStats,
    TaskVersion,
)
from serving.scheduler.entries import Entry
from serving.scheduler.policy import Budget, Draft, FairQueue
from serving.scheduler.speed import Speed

log = logging.getLogger(__name__)
WARM = frozenset({Residency.HOST, Residency.DEVICE})
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


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of finished work, each call from the compute or a loading thread.

    Args:
        finished: entries that have all outcomes or an error; must return fast.
        ran: one forward's stats.
        loaded: seconds that one cold version took.
    """

    finished: Callable[[Sequence[Entry]], None]
    ran: Callable[[RunStats], None]
    loaded: Callable[[float], None]


class BatchLoop:
    """Owns the queue, the compute lanes and the loading of cold versions. Thread-safe.

    A lane is a thread that runs one batch at a time. Where the engine has several lanes (one per
    core on CPU) each takes batches of its own, so that no core waits for another's last row.

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
        load_threads: int = 2,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._clock = clock
        self._listener = listener
        self._queue = FairQueue()
        self._speed = Speed()
        self._changed = threading.Condition()
        self._loading: set[str] = set()
        self._loaders = ThreadPoolExecutor(load_threads, "load")
        self._is_stopping = False
        self._num_lanes = engine.info.num_lanes
        self._running: list[Draft] = []
        self._threads = [
            threading.Thread(target=self._work, name=f"compute-{lane}", daemon=True)
            for lane in range(self._num_lanes)
        ]

    def start(self) -> None:
        """Start the compute lanes."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Run what is queued and warm, fail the rest, and end the threads. Blocks."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._loaders.shutdown(wait=False, cancel_futures=True)

    def submit(self, entries: Sequence[Entry]) -> None:
        """Queue entries; returns at once."""
        with self._changed:
            stopped = self._is_stopping
            for entry in entries if not stopped else ():
                self._queue.add(entry)
            self._changed.notify()
        if stopped:
            self._fail(entries, RowFailed("The server stopped before the input could run."))

    def warm_up(self, version: TaskVersion) -> None:
        """Start loading a cold version in the background; single-flight."""
        with self._changed:
            self._load(version)

    @property
    def num_rows(self) -> int:
        """Rows that wait."""
        return self._queue.num_rows

    @property
    def num_tokens(self) -> int:
        """Tokens that wait."""
        return self._queue.num_tokens

    def backlog_s(self) -> float:
        """Predicted seconds until what is queued and running now has run."""
        tokens = self._queue.num_tokens + sum(draft.tokens for draft in list(self._running))
        return self._speed.predict_s(tokens) / self._num_lanes

    def _work(self) -> None:
        while (draft := self._next_draft()) is not None:
            try:
                if draft.dropped:
                    self._listener.finished(draft.dropped)
                if draft.picks:
                    self._run(draft)
            except Exception:
                log.exception("A compute lane met an unexpected error and goes on")
            finally:
                with self._changed:
                    self._running.remove(draft)

    def _next_draft(self) -> Draft | None:
        """Wait for rows to run or entries to drop; None when stopped and done."""
        with self._changed:
            while True:
                draft = self._queue.next_batch(self._clock(), self._budget(), self._is_warm)
                for version in draft.cold.values():
                    self._load(version)
                if draft.picks or draft.dropped:
                    self._running.append(draft)
                    if self._queue.num_rows:
                        self._changed.notify()
                    return draft
                if self._is_stopping and not self._loading:
                    return None
                # Entries that wait for their weights still have deadlines to keep.
                self._changed.wait(_POLL_S if draft.cold or self._is_stopping else None)

    def _budget(self) -> Budget:
        limits = self._limits
        most = self._speed.budget_tokens(limits.max_batch_s, limits.max_tokens)
        # A lane takes no more than its share of all that is here: the others are free soon too.
        here = self._queue.num_tokens + sum(draft.tokens for draft in self._running)
        share = ceil(here / self._num_lanes)
        tokens = min(max(most, limits.min_tokens), max(share, 1))
        return Budget(tokens, limits.max_rows, self._engine.info.max_batch_adapters)

    def _is_warm(self, version: TaskVersion) -> bool:
        return version.digest not in self._loading and self._engine.residency(version) in WARM

    def _run(self, draft: Draft) -> None:
        started_s = self._clock()
        try:
            items = [pick.work_item() for pick in draft.picks]
            result = self._engine.run(items, lanes=1)
        except Exception as error:
            log.exception("A batch of %d rows failed as a whole", len(draft.picks))
            result = _failed(draft, error, self._clock() - started_s)
        with self._changed:
            self._speed.observe(result.stats.num_tokens, self._clock() - started_s)
            finished = _settle(draft, result, started_s)
        self._listener.finished(finished)
        self._listener.ran(result.stats)

    def _load(self, version: TaskVersion) -> None:
        if version.digest not in self._loading:
            self._loading.add(version.digest)
            self._loaders.submit(self._bring_in, version)

    def _bring_in(self, version: TaskVersion) -> None:
        started_s, failure = self._clock(), None
        try:
            self._engine.load(version)
        except Exception as error:
            log.exception("Loading %s failed", version.task)
            failure = error
        took_s = self._clock() - started_s
        with self._changed:
            self._loading.discard(version.digest)
            waiting = [entry for entry in self._queue if entry.version.digest == version.digest]
            for entry in waiting:
                entry.load_s += min(took_s, self._clock() - entry.queued_s)
            failed = self._queue.remove_version(version.digest) if failure else []
            self._changed.notify()
        if failure:
            self._fail(failed, failure)
        self._listener.loaded(took_s)

    def _fail(self, entries: Sequence[Entry], error: Exception) -> None:
        for entry in entries:
            entry.error = error
        self._listener.finished(entries)


def _settle(draft: Draft, result: RunResult, started_s: float) -> list[Entry]:
    """Hand each outcome to its entry; the entries that are finished now, each once."""
    touched = dict.fromkeys(pick.entry for pick in draft.picks)
    open_before = {entry for entry in touched if not entry.is_finished}
    for pick, outcome in zip(draft.picks, result.outcomes, strict=True):
        pick.entry.settle(pick.row, outcome)
    for entry in touched:
        entry.started_s = started_s
        entry.compute_s += result.stats.compute_s
        entry.load_s += result.stats.load_s
        entry.batch_tokens = result.stats.num_tokens
        entry.batch_tasks = result.stats.num_tasks
    return [entry for entry in touched if entry in open_before and entry.is_finished]


def _failed(draft: Draft, error: Exception, took_s: float) -> RunResult:
    """The result of a batch that raised: each row gets an error of its own kind."""
    outcome = (
        error if isinstance(error, PolyheadError) else RowFailed("The batch failed; try again.")
    )
    tasks = {pick.entry.version.task for pick in draft.picks}
    stats = RunStats(len(draft.picks), draft.tokens, len(tasks), 0, took_s)
    return RunResult((outcome,) * len(draft.picks), stats)
