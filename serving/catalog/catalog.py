"""The tasks that this process serves, each ready or failed with a reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from adapter_runtime import (
    Engine,
    Note,
    PolyheadError,
    RejectedAdapter,
    TaskSpec,
    TaskVersion,
    UnknownTask,
)
from serving.catalog.entries import near_names
from serving.catalog.plans import TaskFile

log = logging.getLogger(__name__)
_THREADS = 4


class TaskState(StrEnum):
    """Whether a task answers."""

    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """A named service: its version when ready, the reason when not."""

    name: str
    version: TaskVersion | None = None
    code: str = ""
    reason: str = ""

    @property
    def state(self) -> TaskState:
        """Ready when there is a version."""
        return TaskState.FAILED if self.version is None else TaskState.READY


class Catalog:
    """Finds tasks by name.

    Args:
        tasks: all tasks, in the order of the task file.
    """

    def __init__(self, tasks: tuple[Task, ...]) -> None:
        self._tasks = {task.name: task for task in tasks}

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def find(self, name: str) -> Task:
        """The task of a name.

        Raises:
            UnknownTask: there is none; names similar ones.
        """
        task = self._tasks.get(name)
        if task is None:
            raise UnknownTask(name, near_names(name, tuple(self._tasks)))
        return task

    def resolve(self, name: str) -> TaskVersion:
        """The version that answers for a name now.

        Raises:
            UnknownTask: there is no such task.
            RejectedAdapter: the task is there, but was not admitted.
        """
        task = self.find(name)
        if task.version is None:
            raise RejectedAdapter(name, [Note(task.code, task.reason)])
        return task.version

    @property
    def failed(self) -> tuple[Task, ...]:
        """Tasks that cannot answer."""
        return tuple(task for task in self if task.version is None)

    def count_by_state(self) -> dict[str, int]:
        """How many tasks are in each state."""
        found = Counter(task.state for task in self)
        return {state: found[state] for state in TaskState}


def admit_all(engine: Engine, file: TaskFile) -> Catalog:
    """Prepare every task of a file; one that fails does not stop the others. Blocks."""
    broken = tuple(Task(each.name, None, "bad_task_entry", each.reason) for each in file.broken)
    with ThreadPoolExecutor(_THREADS, "admit") as threads:
        admitted = tuple(
            threads.map(lambda plan: _admit(engine, plan.versions[-1].spec), file.plans)
        )
    catalog = Catalog((*admitted, *broken))
    for task in catalog.failed:
        log.error("Task %s is NOT served: %s", task.name, task.reason)
    return catalog


def _admit(engine: Engine, spec: TaskSpec) -> Task:
    try:
        return Task(spec.name, engine.prepare(spec))
    except RejectedAdapter as error:
        reasons = " ".join(note.message for note in error.problems)
        return Task(
            spec.name, None, error.problems[0].code if error.problems else error.code, reasons
        )
    except PolyheadError as error:
        return Task(spec.name, None, error.code, str(error))
    except Exception as error:
        # One task's surprise must not keep the other tasks from being served.
        log.exception("Task %s met an unexpected error", spec.name)
        return Task(spec.name, None, PolyheadError.code, f"{type(error).__name__}: {error}")
