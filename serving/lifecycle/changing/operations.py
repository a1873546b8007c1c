"""The life cycle's operations: each changes the catalog first, and then what is live."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from adapter_runtime import Engine, InvalidInput, SourceRules
from serving.catalog.changes import retire
from serving.catalog.store import CatalogStore, Entry
from serving.lifecycle.admitting.admitter import Admissions
from serving.lifecycle.changing.early import EarlyReads, Sources
from serving.lifecycle.changing.errands import Errands
from serving.lifecycle.changing.overrides import Overrides
from serving.lifecycle.changing.promotions import Promotions
from serving.lifecycle.changing.putting import Putting
from serving.lifecycle.changing.reaching import Reach
from serving.lifecycle.changing.writing import Writing
from serving.lifecycle.live.tasks import Tasks
from serving.settings import Settings

_MOST = 64
_MOST_READS = 8
Act = Callable[[str, str, str | None], None]


class LocalLifeCycle:
    """Implements `LifeCycle`: changes go to the catalog's store, and from there to live tasks.

    Args:
        tasks: the live tasks.
        store: the catalog.
        engine: reads files; owner of the device.
        admissions: reads and checks.
        settings: limits.
        in_step: held while the catalog is changed and taken over; its follower holds it likewise.
        overrides: what holds here where the catalog cannot be written.
    """

    def __init__(
        self,
        tasks: Tasks,
        store: CatalogStore,
        engine: Engine,
        admissions: Admissions,
        settings: Settings,
        in_step: threading.Lock,
        overrides: Overrides,
    ) -> None:
        self._tasks = tasks
        patience_s = settings.default_deadline_s
        self._errands, self._reads = Errands(_MOST, "change"), Errands(_MOST_READS, "read-early")
        self._reach = Reach(tasks, engine, admissions, patience_s)
        self._writing = Writing(tasks, store, in_step)
        self._promotions = promotions = Promotions(tasks, self._reach, self._writing, overrides)
        rules = SourceRules(
            allowed=settings.allowed_sources,
            max_source_bytes=settings.max_source_bytes,
            cache_dir=settings.cache_dir,
        )
        self._putting = Putting(
            tasks,
            self._writing,
            admissions,
            Sources(rules, store),
            EarlyReads(engine, self._reads),
            settings.keep_versions,
            patience_s,
        )
        self._acts: Mapping[str, Act] = {
            "promote": promotions.promote,
            "rollback": promotions.roll_back,
            "pin": promotions.pin,
            "unpin": promotions.unpin,
            "preload": self._preload,
            "evict": self._evict,
        }

    def close(self) -> None:
        """Begin no more changes; those under way end by themselves."""
        self._errands.close()
        self._reads.close()

    async def put(self, name: str, entry: Mapping[str, Any], expected: str | None = None) -> bool:
        """As `LifeCycle.put`."""
        work = partial(self._putting.put, name, entry, expected)
        return await asyncio.wrap_future(self._errands.start(work))

    async def delete(
        self, name: str, version: str | None = None, expected: str | None = None
    ) -> None:
        """As `LifeCycle.delete`."""
        work = (
            partial(self._delete, name, expected)
            if version is None
            else partial(self._retire, name, version, expected)
        )
        await asyncio.wrap_future(self._errands.start(work))

    async def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """As `LifeCycle.act`."""
        if action not in self._acts:
            raise InvalidInput(f"expected one of {', '.join(self._acts)}.", "action")
        work = partial(self._acts[action], name, version, expected)
        await asyncio.wrap_future(self._errands.start(work))

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None = None,
    ) -> None:
        """As `LifeCycle.set_traffic`."""
        work = partial(self._promotions.set_traffic, name, weights, shadow, expected)
        await asyncio.wrap_future(self._errands.start(work))

    def roll_back(self, task: str, version: str, reason: str) -> None:
        """Take a version out of its task's traffic because of the task's rule. Blocks."""
        self._promotions.roll_back_by_rule(task, version, reason)

    def _delete(self, name: str, expected: str | None) -> None:
        self._writing.refuse_read_only()

        def change(entry: Entry | None) -> None:
            if entry is None:
                self._tasks.find(name)  # names similar ones
                self._tasks.apply_one(name, None)

        self._writing.change(name, change, expected)

    def _retire(self, name: str, id: str, expected: str | None) -> None:
        self._writing.refuse_read_only()
        self._reach.find(name, id)

        def change(entry: Entry | None) -> Entry:
            return retire(entry, id, self._writing.standing(name).known)

        self._writing.change(name, change, expected)

    def _preload(self, name: str, id: str, expected: str | None) -> None:
        version = self._reach.ready(name, id)
        self._reach.bring_in(version)
        self._tasks.note(version, "preloaded")

    def _evict(self, name: str, id: str, expected: str | None) -> None:
        version = self._reach.find(name, id)
        self._reach.evict(version)
        self._tasks.note(version, "evicted")
