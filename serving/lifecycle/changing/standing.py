"""What changes of an entry need to know of the live task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from serving.catalog.drafts import Known
from serving.catalog.entries import Base
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task's versions stand now, by their ids.

    Args:
        known: ids and digests of the versions whose files were read.
        answering: the version that has all the traffic where there are no weights.
        ready: those that could answer now.
        droppable: those that nobody uses.
        rejected: those that were refused.
        is_succeeded: whether the version that answers is superseded by the next one.
    """

    known: Known
    answering: str | None = None
    ready: frozenset[str] = frozenset()
    droppable: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    is_succeeded: bool = False


def standing_of(tasks: Tasks, name: str, base: Base) -> Standing:
    """How a task stands; nothing is known of one that is not there.

    Args:
        tasks: the live tasks.
        name: of the task.
        base: where relative Sources of its entry start.
    """
    with tasks.lock:
        if name not in tasks:
            return Standing(Known(name, base))
        task = tasks.find(name)
        serving = task.serving()
        answering = next(iter(serving)) if len(serving) == 1 else None
        return Standing(
            Known(name, base, _ids(task)),
            answering.id if answering else None,
            ready=_known(one for one in task.versions if one.is_ready),
            droppable=_known(one for one in task.versions if _is_droppable(one, task)),
            rejected=_known(one for one in task.versions if one.state is State.REJECTED),
            is_succeeded=not (answering is None or task.has_weights)
            and not answering.plan.spec.pinned,
        )


def _ids(task: Task) -> dict[str, tuple[str, str | None]]:
    """By the key of the entry's part; where several mean the same, of the one without an id."""
    ordered = sorted(task.versions, key=lambda one: one.plan.id is None)
    return {
        one.plan.key: (one.id, one.digest)
        for one in ordered
        if one.id is not None and one.prepared is not None
    }


def _known(versions: Iterable[Version]) -> frozenset[str]:
    return frozenset(version.id for version in versions if version.id is not None)


def _is_droppable(version: Version, task: Task) -> bool:
    is_wanted = version.plan.spec.pinned or version.plan.shadow or bool(version.plan.weight)
    return not (is_wanted or version.in_flight or version in task.serving())
