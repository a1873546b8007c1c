"""What a version's answers say about it: counted, and held against its task's rollback rule."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from serving.lifecycle.admitting.outcomes import Outcomes
from serving.lifecycle.judging.rollback import is_fault, reason_to_roll_back
from serving.lifecycle.live.states import State
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)
RollBack = Callable[[str, str, str], None]
"""Takes a version out of its task's traffic: task, version id, reason. May block."""


class Judge:
    """Counts outcomes of versions, and has those rolled back that trip their rule. Thread-safe.

    Args:
        tasks: the live tasks.
        outcomes: quarantines.
        roll_back: called on a thread of its own, once for each time that a version trips.
    """

    def __init__(self, tasks: Tasks, outcomes: Outcomes, roll_back: RollBack) -> None:
        self._tasks = tasks
        self._outcomes = outcomes
        self._roll_back = roll_back

    def answered(self, version: Version, took_s: float) -> None:
        """A version answered a request."""
        version.traffic.answered(took_s)
        self._outcomes.answered(version)
        self.look(version)
        for absent in self._absent(version):
            self.look(absent)

    def failed(self, version: Version, error: BaseException) -> bool:
        """A request that a version had to answer failed; whether by its own fault."""
        if not is_fault(error):
            return False
        version.traffic.failed()
        with self._tasks.lock:
            version.last_error = str(error)
        self.look(version)
        return True

    def look(self, version: Version) -> None:
        """Have a version rolled back if its last outcomes are worse than its task allows."""
        with self._tasks.lock:  # all along: the task may be deleted while its answers leave
            if len(self._siblings(version)) < 2:
                return
            reason = self._reason(version)
            if reason is None or version.is_tripped or version.id is None:
                return
            version.is_tripped = True
        log.warning("Version %s of %s goes: %s", version.id, version.task, reason)
        arguments = version.task, version.id, reason
        threading.Thread(target=self._run, args=arguments, name="roll-back", daemon=True).start()

    def _absent(self, version: Version) -> list[Version]:
        """Versions in whose place this one may have answered."""
        if not version.traffic.is_judged:
            return []
        with self._tasks.lock:
            siblings = self._siblings(version)
            return [one for one in siblings if one.state is State.QUARANTINED]

    def _siblings(self, version: Version) -> tuple[Version, ...]:
        if version.is_leaving or version.task not in self._tasks:
            return ()
        return self._tasks.find(version.task).versions

    def _reason(self, version: Version) -> str | None:
        """Why it should go; only the newest in the traffic and shadows are judged."""
        task = self._tasks.find(version.task)
        sharing = task.in_traffic()
        is_judged = version.plan.shadow or (bool(sharing) and version is sharing[-1])
        if not is_judged or task.plan is None:
            return None
        return reason_to_roll_back(task.plan.rollback, version.traffic)

    def _run(self, task: str, version: str, reason: str) -> None:
        try:
            self._roll_back(task, version, reason)
        except Exception:
            log.exception("Version %s of %s could not be rolled back", version, task)
