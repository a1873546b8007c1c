"""What the scheduler and the admitter tell, as states of versions and as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from adapter_runtime import (
    CapacityError,
    PolyheadError,
    RejectedAdapter,
    Residency,
    SourceError,
    TaskVersion,
    VersionFailed,
)
from serving.lifecycle.admitting.admission import Admitter
from serving.lifecycle.admitting.estimates import Estimates
from serving.lifecycle.admitting.outcomes import Result
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.observing import FROM_HOST, Observer
from serving.origins import source_kind
from serving.recent import RecentBatches
from serving.scheduler.entries import Entry, Loaded
from serving.scheduler.running import Listener

_WORDS = {
    Result.ACCEPTED: "ok",
    Result.KNOWN: "ok",
    Result.REJECTED: "rejected",
    Result.FAILED: "failed",
}


class Ears:
    """Listens on behalf of the service; any thread.

    Args:
        tasks: the live tasks.
        admitter: is listened to, and moves versions that failed.
        observer: takes the measurements.
        recent: keeps the last batches.

    Attributes:
        fail_waiting: ends the rows of a version that wait; set once there is a batch loop.
    """

    fail_waiting: Callable[[TaskVersion, Exception], None]

    def __init__(
        self, tasks: Tasks, admitter: Admitter, observer: Observer, recent: RecentBatches
    ) -> None:
        self._tasks = tasks
        self._outcomes = admitter.outcomes
        self._observer = observer
        self.recent = recent
        self._loads = Estimates()
        admitter.heard = self._admitted

    def listener(self, finished: Callable[[Sequence[Entry]], None]) -> Listener:
        """Who hears of the batch loop's work."""
        seen = self._observer
        return Listener(
            finished, seen.ran, self._loaded, self._guilty, self.recent.add, seen.dropped
        )

    def estimate_s(self, version: TaskVersion) -> float:
        """How long bringing an admitted version back will take, in seconds."""
        return self._loads.expect_s(version.spec)

    def failed(self, version: Version, error: Exception) -> None:
        """A request failed; a version whose weights cannot be had any more answers no others."""
        if isinstance(error, SourceError | RejectedAdapter):
            self._outcomes.lost_weights(version, error)

    def residency_by_task(
        self, residency: Callable[[TaskVersion], Residency]
    ) -> dict[str, Mapping[str, str]]:
        """Where each version's weights are, by task and id."""
        with self._tasks.lock:
            known = {
                task.name: {
                    str(one.id): one.prepared for one in (*task.leaving, *task.versions) if one.id
                }
                for task in self._tasks
            }
        return {
            name: {
                id: str(residency(prepared) if prepared else Residency.ABSENT)
                for id, prepared in versions.items()
            }
            for name, versions in known.items()
        }

    def _loaded(self, load: Loaded) -> None:
        spec = load.version.spec
        source = FROM_HOST if load.came_from is Residency.HOST else source_kind(spec)
        self._observer.loaded(load.took_s, source, _load_result(load.error))
        if load.error is None and source != FROM_HOST:
            self._loads.observe(spec, load.took_s)

    def _guilty(self, prepared: TaskVersion, error: Exception) -> None:
        version = self._tasks.live(prepared)
        if version is None or not self._outcomes.is_guilty(version, error):
            return
        self._observer.quarantined(version.task)
        # They would fail too, and each would have its batch run apart.
        self.fail_waiting(prepared, _own(version, error))

    def _admitted(self, version: Version, result: Result, took_s: float) -> None:
        if result is Result.DROPPED:
            return
        if result is Result.QUARANTINED:
            self._observer.quarantined(version.task)
            return
        self._observer.admitted(str(result))
        self._observer.loaded(took_s, source_kind(version.plan.spec), _WORDS[result])


def _own(version: Version, error: Exception) -> PolyheadError:
    if isinstance(error, PolyheadError):
        return error
    return VersionFailed(
        f"Version {version.id} of {version.task} failed by itself; its page says why. Send the "
        "request again later, or roll the task back."
    )


def _load_result(error: Exception | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, RejectedAdapter):
        return "rejected"
    return "no_capacity" if isinstance(error, CapacityError) else "failed"
