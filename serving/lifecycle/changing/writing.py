"""Changes to the catalog, each taken over by the live tasks before anything else is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from serving.catalog.plans import TaskPlan
from serving.catalog.shapes import check_name
from serving.catalog.store import CatalogStore, Change, Entry
from serving.errors import BrokenEntry, CatalogReadOnly, TaskFileError, VersionConflict
from serving.lifecycle.changing.standing import Standing, standing_of
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)
_TRIES = 5
_PAUSE_S = 0.05


class Writing:
    """Writes to the catalog's store. Every method may block; for threads.

    Args:
        tasks: the live tasks.
        store: the catalog.
        in_step: held while the catalog is changed and taken over, as its follower holds it.
    """

    def __init__(self, tasks: Tasks, store: CatalogStore, in_step: threading.Lock) -> None:
        self._tasks = tasks
        self._store = store
        self._in_step = in_step

    def standing(self, name: str) -> Standing:
        """How a task stands now, for changes of its entry."""
        return standing_of(self._tasks, name, self._store.base)

    def refuse_read_only(self) -> None:
        """Raises CatalogReadOnly where the catalog cannot be changed."""
        if not self._store.is_writable:
            raise CatalogReadOnly(
                f"{self._store.place} is read-only for this API: it is a single file or bare "
                "folders, or this process may not write there, or it is gone. Serve a folder of "
                "task files that it may write, to change tasks while the server runs."
            )

    def change(self, name: str, change: Change, expected: str | None) -> Sequence[Version]:
        """Change a task's entry and take it over.

        Args:
            name: of the task.
            change: as `CatalogStore.change`.
            expected: as `CatalogStore.change`; without, a change that another process made at the
                same time is no conflict.

        Returns:
            The versions that are new.

        Raises:
            UnknownTask, BrokenEntry: no task can have the name.
            CatalogReadOnly, VersionConflict, TaskFileError: as `CatalogStore.change`.
        """
        self.refuse_read_only()
        self._check_name(name)
        for tries_left in reversed(range(_TRIES)):
            own = _Own(change)
            try:
                with self._in_step:
                    plan = self._store.change(name, own, expected)
                    return self._tasks.apply_one(name, plan)
            except VersionConflict:
                if own.has_refused or expected is not None or not tries_left:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("The last try returned nothing and raised nothing. This is a bug.")

    def _check_name(self, name: str) -> None:
        try:
            check_name(name)
        except TaskFileError as error:
            self._tasks.find(name)  # no such task, or one of a file that is called so
            raise BrokenEntry(f"{error} Rename its file.") from error

    def in_memory(self, plan: TaskPlan) -> None:
        """Change what is live only, where the catalog cannot be changed."""
        with self._in_step:
            self._tasks.apply_one(plan.name, plan)


class _Own:
    """A change that knows whether it has refused."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.has_refused = False

    def __call__(self, entry: Entry | None) -> Entry | None:
        try:
            return self._change(entry)
        except Exception:
            self.has_refused = True
            raise
