"""Who gets a task's traffic, and what is kept ready: changed by operators, or by a task's rule."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from adapter_runtime import PolyheadError
from serving.catalog import shares
from serving.catalog.changes import set_pinned
from serving.catalog.store import Entry
from serving.errors import CatalogReadOnly, TaskFileError, VersionConflict
from serving.lifecycle.changing.overrides import Overrides, without_traffic
from serving.lifecycle.changing.reaching import Reach
from serving.lifecycle.changing.writing import Writing
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version

log = logging.getLogger(__name__)


class Promotions:
    """Changes of traffic and pins. Every method may block; for threads.

    Args:
        tasks: the live tasks.
        reach: finds versions and gets them ready.
        writing: writes the catalog.
        overrides: keeps what the catalog cannot.
    """

    def __init__(self, tasks: Tasks, reach: Reach, writing: Writing, overrides: Overrides) -> None:
        self._tasks = tasks
        self._reach = reach
        self._writing = writing
        self._overrides = overrides

    def promote(self, name: str, id: str, expected: str | None) -> None:
        """Give a version all the traffic, once it is ready."""
        self._writing.refuse_read_only()
        version = self._reach.ready(name, id)

        def change(entry: Entry | None) -> Entry:
            standing = self._writing.standing(name)
            return shares.promote(entry, id, standing.known, standing.answering)

        self._writing.change(name, change, expected)
        self._tasks.note(version, "promoted")

    def roll_back(self, name: str, id: str, expected: str | None) -> None:
        """Give the traffic back to whoever had it before."""
        self._writing.refuse_read_only()
        version = self._reach.find(name, id)
        self._prepare_others(version)
        self._take_back(version, id, None, expected)
        self._tasks.note(version, "rolled_back", "It was asked for.")

    def _take_back(
        self, version: Version, id: str, reason: str | None, expected: str | None
    ) -> None:
        name = version.task

        def change(entry: Entry | None) -> Entry:
            standing = self._writing.standing(name)
            return shares.rollback(
                entry, id, standing.known, reason, standing.ready, standing.answering
            )

        self._writing.change(name, change, expected)

    def _prepare_others(self, version: Version) -> None:
        """Get those ready that would take over: the weights before, else the next older one."""
        for other in self._reach.before(version):
            if not other.is_ready:
                self._reach.settle(other)
        older = self._reach.older_than(version)
        if any(other.is_ready for other in older):
            return
        for other in older:
            self._reach.settle(other)
            if other.is_ready:
                return

    def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None,
    ) -> None:
        """Share the traffic out among versions that are ready, or can be."""
        self._writing.refuse_read_only()
        wanted = [id for id, weight in (weights or {}).items() if weight > 0]
        for id in (*(weights or {}), *shadow):
            self._reach.find(name, id)
        for id in dict.fromkeys((*wanted, *shadow)):
            self._reach.ready(name, id)

        def change(entry: Entry | None) -> Entry:
            standing = self._writing.standing(name)
            return shares.set_traffic(entry, weights, shadow, standing.known, standing.answering)

        self._writing.change(name, change, expected)
        self._tasks.note_all(name, "traffic", _said(weights, shadow))

    def pin(self, name: str, id: str, expected: str | None) -> None:
        """Keep a version's weights on the device for good."""
        self._writing.refuse_read_only()
        version = self._reach.ready(name, id)
        with self._reach.pinned(version):
            self._set_pinned(name, id, True, expected)
        self._tasks.note(version, "pinned")

    def unpin(self, name: str, id: str, expected: str | None) -> None:
        """Let a version's weights go when their room is needed."""
        self._writing.refuse_read_only()
        version = self._reach.find(name, id)
        self._set_pinned(name, id, False, expected)
        self._tasks.note(version, "unpinned")

    def _set_pinned(self, name: str, id: str, on: bool, expected: str | None) -> None:
        def change(entry: Entry | None) -> Entry:
            return set_pinned(entry, id, on, self._writing.standing(name).known)

        self._writing.change(name, change, expected)

    def roll_back_by_rule(self, name: str, id: str, reason: str) -> None:
        """Take a version out of the traffic that its task's rule condemns; never raises.

        Where the catalog cannot be written, it holds in this process until the entry changes.
        """
        try:
            version = self._reach.find(name, id)
            try:
                self._take_back(version, id, reason, None)
            except (CatalogReadOnly, TaskFileError) as error:
                self._take_back_here(version, reason, error)
            self._tasks.note(version, "rolled_back", reason)
        except PolyheadError as error:
            log.error("Version %s of %s stays though %s: %s", id, name, reason, error)
        else:
            log.warning("Version %s of %s is rolled back: %s", id, name, reason)

    def _take_back_here(self, version: Version, reason: str, error: PolyheadError) -> None:
        with self._tasks.lock:
            task = self._tasks.find(version.task)
            versions, plan = task.versions, task.plan
            others = [one for one in versions if one.is_ready and one is not version]
            if plan is None or version not in versions or not others:
                raise VersionConflict(f"{version.task} has no other version that could answer.")
            place = versions.index(version)
            older = [at for at, one in enumerate(versions[:place]) if one in others]
            ids = [one.id for one in versions]
            new = without_traffic(plan, ids, place, older[-1] if older else None, reason)
        self._overrides.set(new)
        self._writing.in_memory(new)
        log.info("Only this process knows of it: %s", error)


def _said(weights: Mapping[str, float] | None, shadow: Sequence[str]) -> str:
    shared = (
        "the newest takes all"
        if weights is None
        else ", ".join(f"{id}: {weight:g}" for id, weight in weights.items())
    )
    return f"{shared}; copies to {', '.join(shadow)}" if shadow else shared
