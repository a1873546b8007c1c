"""Admissions on threads: read, check, admit; several versions side by side, each once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from adapter_runtime import Engine, TaskVersion
from serving.errors import Draining
from serving.lifecycle.admitting.checking import Checker, RunLow, Verdict, source_changed
from serving.lifecycle.admitting.estimates import Estimates
from serving.lifecycle.admitting.outcomes import Outcomes, Result
from serving.lifecycle.admitting.turns import Turns
from serving.lifecycle.admitting.verdicts import Verdicts
from serving.lifecycle.live.states import State
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)
_LEAST_S = 0.05

Heard = Callable[[Version, Result, float], None]


def _ignore(_: Version, __: Result, ___: float) -> None:
    """Nobody listens."""


class Admitter:
    """Implements `Admissions`.

    Args:
        engine: reads, checks and admits.
        tasks: whose versions.
        verdicts: what earlier checks said.
        threads: versions side by side of those on this machine, and from each other origin: a hub
            that hangs holds up its own.
        quarantine_s: how long a version that fails its check after a quarantine stays in it; see
            `Outcomes`.
        heard: is told how each attempt ended and how many seconds it took; on an admitting thread.

    Attributes:
        run: how to run the rows of checks; None: the engine's own way, beside all batches.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Tasks,
        verdicts: Verdicts,
        threads: int = 4,
        quarantine_s: float = 30.0,
        heard: Heard = _ignore,
    ) -> None:
        self.run: RunLow | None = None
        self.heard = heard
        self.outcomes = Outcomes(tasks, quarantine_s)
        self._engine = engine
        self._tasks = tasks
        self._checker = Checker(engine, verdicts, tasks.clock)
        self._estimates = Estimates()
        self._turns = Turns(threads)
        self._running: dict[Version, tuple[Future[None], float]] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"admit-{number}", daemon=True)
            for number in range(self._turns.num_threads)
        ]
        self._is_started = False

    def start(
        self, version: Version, *, is_awaited: bool = False, again: bool = False
    ) -> Future[None]:
        """Admit a version unless it is being admitted already; see `Admissions.start`."""
        with self._tasks.lock:
            running = self._running.get(version)
            if running is not None:
                if is_awaited:
                    self._turns.hurry(version)
                return running[0]
            future: Future[None] = Future()
            future.set_running_or_notify_cancel()  # it is shared: nobody may cancel it
            if self._may_try(version, again) and self._turns.put(version, is_awaited=is_awaited):
                self._running[version] = future, self._tasks.clock()
                self._start_threads()
            else:
                future.set_result(None)
            return future

    def _may_try(self, version: Version, again: bool) -> bool:
        if version.is_ready or version.is_leaving or version.state is State.RETIRED:
            return False
        return again or version.may_become_ready(self._tasks.clock())

    def _start_threads(self) -> None:
        if not self._is_started:
            self._is_started = True
            for thread in self._threads:
                thread.start()

    def adopt(self, version: Version, prepared: TaskVersion) -> None:
        """Give a version what was read for it before it was in the catalog."""
        if not self._take_over(version, prepared):
            self._engine.retire(prepared)

    def _take_over(self, version: Version, prepared: TaskVersion) -> bool:
        with self._tasks.lock:
            if version.prepared is not None or version.state is State.RETIRED:
                return False
            version.prepared = prepared
            return True

    def estimate_s(self, version: Version) -> float:
        """How long admitting it will take from now on, from measured times, in seconds."""
        with self._tasks.lock:
            began_s = self._running.get(version, (None, self._tasks.clock()))[1]
            spent_s = self._tasks.clock() - began_s
        whole_s = version.load_s or self._estimates.expect_s(version.plan.spec)
        left_s = whole_s * (self._turns.rounds(version) + 1) - spent_s
        # What takes longer than those before it, as a hub that hangs, is not just about to end.
        return max(_LEAST_S, left_s if left_s > 0 else spent_s)

    def close(self) -> None:
        """Take nothing new; what goes on goes on."""
        self._checker.is_closed = True
        self._turns.close()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Take nothing new and end the threads; who waits is told. Blocks.

        Args:
            timeout_s: longest wait for what goes on; it then dies with the process.

        Returns:
            Whether all have ended.
        """
        self.close()
        threads = self._threads if self._is_started else []
        until_s = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        with self._tasks.lock:
            left = [future for future, _ in self._running.values()]
            self._running.clear()
        for future in left:
            _resolve(future)
        return not any(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while (version := self._turns.take()) is not None:
            began_s, result = self._tasks.clock(), Result.DROPPED
            try:
                with self._tasks.use(version):
                    result = self._attempt(version)
            except Exception as error:
                log.exception("An admitting thread met an unexpected error and goes on")
                if not version.is_ready:
                    result = self.outcomes.failed(version, error)
            finally:
                self._turns.done(version)
                self._end(version, result, self._tasks.clock() - began_s)

    def _end(self, version: Version, result: Result, took_s: float) -> None:
        if result in (Result.ACCEPTED, Result.KNOWN):
            self._estimates.observe(version.plan.spec, took_s)
        with self._tasks.lock:
            running = self._running.pop(version, None)
        if running is not None:
            _resolve(running[0])
        try:
            self.heard(version, result, took_s)
        except Exception:
            log.exception("Nobody could be told of an admission")

    def _attempt(self, version: Version) -> Result:
        """One attempt, whatever it meets; afterwards the version's state says how it ended."""
        if version.state is State.RETIRED:
            return Result.DROPPED  # while it waited; what was read for it is given back already
        began_s = self._tasks.clock()
        is_retried = version.is_admitted
        try:
            verdict = self._admit(version)
        except Draining:
            self.outcomes.begin(version, State.PENDING)
            result = Result.DROPPED
        except Exception as error:
            result = self.outcomes.failed(version, error)
        else:
            result = self._conclude(version, verdict, self._tasks.clock() - began_s)
        if not version.is_ready and not is_retried:
            self._give_back(version)
        return result

    def _conclude(self, version: Version, verdict: Verdict, took_s: float) -> Result:
        if verdict.problems:
            return self.outcomes.refused(version, verdict.problems)
        if not self.outcomes.admitted(version, took_s):
            return Result.DROPPED
        return Result.KNOWN if verdict.is_known else Result.ACCEPTED

    def _admit(self, version: Version) -> Verdict:
        """Read, check and admit a version, unless it may not serve or has left.

        Raises:
            Exception: as the engine.
        """
        prepared = self._read(version)
        if version.is_leaving:
            return Verdict(())
        if not prepared.digest.startswith(version.plan.digest or ""):
            return Verdict((source_changed(version, prepared.digest),))
        self.outcomes.begin(version, State.CHECKING)
        is_suspect = version.num_quarantines > 0
        verdict = self._checker.judge(prepared, self.run, is_suspect=is_suspect)
        if verdict.problems or version.is_leaving:
            return verdict
        if not version.is_admitted:
            self._engine.admit(prepared)
        if version.plan.spec.pinned and not version.is_pinned:
            self._engine.pin(prepared)
            version.is_pinned = True
        return verdict

    def _read(self, version: Version) -> TaskVersion:
        """What the engine knows of a version now, read unless that was done before."""
        prepared = version.prepared
        if prepared is None:
            self.outcomes.begin(version, State.LOADING)
            prepared = self._engine.read(version.plan.spec)
            if not self._take_over(version, prepared):
                self._engine.retire(prepared)
                assert version.prepared is not None, "A version was retired in use: a bug."
                prepared = version.prepared
        elif version.is_admitted:
            self.outcomes.begin(version, State.LOADING)
            self._engine.load(prepared)
        return prepared

    def _give_back(self, version: Version) -> None:
        """Forget what was read for a version that was not admitted."""
        with self._tasks.lock:
            prepared, version.prepared = version.prepared, None
            version.is_pinned = version.is_admitted = False
        if prepared is not None:
            self._engine.retire(prepared)


def _resolve(future: Future[None]) -> None:
    """Done, unless another thread was faster."""
    if not future.done():
        future.set_result(None)
