"""Which tasks and versions have labels of their own in the metrics: bounded, and none stale."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

UNKNOWN = "-"
"""The task label of requests for tasks that do not exist: their names must not fill the metrics."""
OTHER = "_other"
"""The label that all share who have none of their own; no task and no version is called so."""
_MAX_VERSIONS = 16


class TaskLabels:
    """Gives the first tasks that come a label of their own, and the rest a common one.

    Thread-safe. Without it, each of ten thousand tasks would cost dozens of series.

    Args:
        max_tasks: tasks with a label of their own.
        max_versions: versions of such a task with a label of their own.
    """

    def __init__(self, max_tasks: int, max_versions: int = _MAX_VERSIONS) -> None:
        self._max_tasks = max_tasks
        self._max_versions = max_versions
        self._lock = threading.Lock()
        self._versions: dict[str, set[str]] = {}

    def task(self, name: str) -> str:
        """The label of a task."""
        if name in self._versions or name == UNKNOWN:
            return name
        with self._lock:
            if name not in self._versions and len(self._versions) >= self._max_tasks:
                return OTHER
            self._versions.setdefault(name, set())
            return name

    def version(self, task: str, id: str) -> str:
        """The label of a version; `task` is its task's label."""
        known = self._versions.get(task)
        if known is None:
            return OTHER
        if id in known:
            return id
        with self._lock:
            if id not in known and len(known) >= self._max_versions:
                return OTHER
            known.add(id)
            return id

    def bounded(self, names: Sequence[str], values: tuple[str, ...]) -> tuple[str, ...]:
        """The label values that a measurement goes under.

        Args:
            names, values: of its labels; `task` first, then `version`, if it has them.
        """
        if names[:1] != ("task",):
            return values
        task = self.task(values[0])
        if names[1:2] != ("version",):
            return (task, *values[1:])
        return (task, self.version(task, values[1]), *values[2:])

    def keep(self, present: Mapping[str, Collection[str]]) -> None:
        """Forget what is gone, which makes room for others.

        Args:
            present: by task, the ids of its versions.
        """
        with self._lock:
            for name in self._versions.keys() - present.keys():
                del self._versions[name]
            for name, known in self._versions.items():
                known.intersection_update(present[name])


def is_stale(
    names: Sequence[str], values: Sequence[str], present: Mapping[str, Collection[str]]
) -> bool:
    """Whether a series stands for a task or a version that is gone.

    Args:
        names, values: of its labels; `task` first, then `version` if it has one.
        present: by task, the ids of its versions.
    """
    task = values[0]
    if task in (UNKNOWN, OTHER):
        return False
    if task not in present:
        return True
    return names[1:2] == ("version",) and values[1] != OTHER and values[1] not in present[task]
