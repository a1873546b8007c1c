"""Which tasks a process answers best, and which it cannot answer: what a router wants to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapter_runtime import Residency, TaskVersion
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.tasks import Tasks

_UNABLE = frozenset({State.REJECTED, State.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Names of tasks.

    Args:
        resident: the weights of a version that answers are on the device.
        refused: no version can answer, as it was found here.
    """

    resident: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def whereabouts(tasks: Tasks, residency: Callable[[TaskVersion], Residency]) -> Whereabouts:
    """Where the tasks stand in this process. Any thread.

    Args:
        tasks: the live tasks.
        residency: where a version's weights are.
    """
    resident, refused = [], []
    for task in tasks:
        # One by one: requests must not wait for all of a thousand tasks.
        with tasks.lock:
            serving = _prepared(task)
            is_unable = not serving and task.state in _UNABLE
        if is_unable:
            refused.append(task.name)
        elif any(residency(each) is Residency.DEVICE for each in serving):
            resident.append(task.name)
    return Whereabouts(tuple(resident), tuple(refused))


def _prepared(task: Task) -> list[TaskVersion]:
    return [each.prepared for each in task.serving() if each.prepared is not None]
