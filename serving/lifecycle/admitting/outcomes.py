"""What becomes of a version when an attempt to admit it ends, or when it fails while it serves."""

from __future__ import annotations

import logging
from enum import StrEnum

from adapter_runtime import Note, PolyheadError, RejectedAdapter, SourceRefused
from serving.lifecycle.live.states import State
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)
_FIRST_RETRY_S, _LAST_RETRY_S = 5.0, 300.0
_LONGEST_QUARANTINE_S = 3600.0
_MOST_DOUBLINGS = 30


class Result(StrEnum):
    """How an attempt to admit a version ended; known: accepted without a check."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    REJECTED = "rejected"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"


class Outcomes:
    """Moves versions from state to state, and remembers why. Thread-safe.

    Args:
        tasks: whose versions.
        quarantine_s: how long the first quarantine lasts; doubled each time up to an hour.
    """

    def __init__(self, tasks: Tasks, quarantine_s: float) -> None:
        self._tasks = tasks
        self._quarantine_s = quarantine_s

    def begin(self, version: Version, state: State) -> None:
        """An attempt has got this far; one that left meanwhile stays where it was."""
        with self._tasks.lock:
            if version.state is not State.RETIRED:
                version.state = state

    def admitted(self, version: Version, took_s: float) -> bool:
        """It may serve, unless it left meanwhile; says whether it does."""
        with self._tasks.lock:
            if version.is_leaving:
                return False
            version.state, version.is_admitted = State.READY, True
            version.reasons, version.last_error, version.retry_at_s = (), None, None
            version.num_failures = 0
            version.load_s, version.ready_at_s = took_s, self._tasks.clock()
            self._tasks.note(version, "ready")
            self._tasks.stir(version)
        log.info("Version %s of %s is ready after %.3f s", version.id, version.task, took_s)
        return True

    def refused(self, version: Version, reasons: tuple[Note, ...]) -> Result:
        """Its files were found wanting: for good, or for another quarantine."""
        if version.num_quarantines:
            return self.quarantine(version, reasons)
        return self._reject(version, reasons, None, Result.REJECTED)

    def failed(self, version: Version, error: Exception) -> Result:
        """An attempt, or bringing its weights back, ended in an error."""
        if version.num_quarantines:
            return self.quarantine(version, reasons_of(error))
        if isinstance(error, RejectedAdapter | SourceRefused) and not version.is_admitted:
            return self._reject(version, reasons_of(error), None, Result.REJECTED)
        if not isinstance(error, PolyheadError):
            log.error("Admitting %s met an unexpected error", version.task, exc_info=error)
        with self._tasks.lock:
            wait_s = _doubled(_FIRST_RETRY_S, version.num_failures, _LAST_RETRY_S)
            version.num_failures += 1
            retry_at_s = self._tasks.clock() + wait_s
        return self._reject(version, reasons_of(error), retry_at_s, Result.FAILED)

    def _reject(
        self,
        version: Version,
        reasons: tuple[Note, ...],
        retry_at_s: float | None,
        result: Result,
    ) -> Result:
        text = _sentence(reasons)
        with self._tasks.lock:
            if version.is_leaving:
                return Result.DROPPED
            version.state, version.reasons = State.REJECTED, reasons
            version.retry_at_s, version.last_error = retry_at_s, text
            self._tasks.note(version, "rejected", text)
            self._tasks.stir(version)
        log.error("Version %s of %s is rejected: %s", version.id, version.task, text)
        return result

    def quarantine(self, version: Version, reasons: tuple[Note, ...]) -> Result:
        """It failed by itself: it answers nobody before it was checked again."""
        text = _sentence(reasons)
        with self._tasks.lock:
            if version.is_leaving:
                return Result.DROPPED
            wait_s = _doubled(self._quarantine_s, version.num_quarantines, _LONGEST_QUARANTINE_S)
            version.num_quarantines += 1
            version.state, version.reasons = State.QUARANTINED, reasons
            version.retry_at_s, version.last_error = self._tasks.clock() + wait_s, text
            self._tasks.note(version, "quarantined", text)
            self._tasks.stir(version)
        log.error(
            "Version %s of %s is quarantined for %g s: %s", version.id, version.task, wait_s, text
        )
        return Result.QUARANTINED

    def is_guilty(self, version: Version, error: Exception) -> bool:
        """A version that serves failed by its own fault; whether that is news."""
        with self._tasks.lock:
            if not version.is_ready:
                return False
            version.is_admitted = True
            return self.quarantine(version, reasons_of(error)) is Result.QUARANTINED

    def lost_weights(self, version: Version, error: Exception) -> None:
        """The weights of a version that serves could not be brought back: others take over."""
        with self._tasks.lock:
            if version.is_ready:
                version.is_admitted = True
                self.failed(version, error)

    def answered(self, version: Version) -> None:
        """It answered; after a while of that an earlier quarantine is forgiven."""
        if not version.num_quarantines:
            return
        with self._tasks.lock:
            last = _doubled(self._quarantine_s, version.num_quarantines - 1, _LONGEST_QUARANTINE_S)
            if version.is_ready and self._tasks.clock() - version.ready_at_s >= last:
                version.num_quarantines = 0


def reasons_of(error: Exception) -> tuple[Note, ...]:
    """An error as reasons; what nobody raised on purpose is named by its kind too."""
    if isinstance(error, RejectedAdapter) and error.problems:
        return error.problems
    if isinstance(error, PolyheadError):
        return (Note(error.code, str(error)),)
    code = "out_of_memory" if isinstance(error, MemoryError) else PolyheadError.code
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (Note(code, text),)


def _sentence(reasons: tuple[Note, ...]) -> str:
    return " ".join(note.message for note in reasons)


def _doubled(first_s: float, times: int, most_s: float) -> float:
    return min(float(first_s * 2 ** min(times, _MOST_DOUBLINGS)), most_s)
