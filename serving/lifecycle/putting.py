"""`PUT /tasks/{name}`: read what the new version is, write it down, check it beside the traffic."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from adapter_runtime import (
    Engine,
    PolyheadError,
    SourceError,
    SourceRefused,
    SourceRules,
    TaskSpec,
    TaskVersion,
    absolute,
    at_hand,
    pin_revision,
)
from serving.catalog.changes import add_version, replace_task
from serving.catalog.puts import Put, map_sources, read_put
from serving.catalog.store import CatalogStore, Entry
from serving.lifecycle.admitter import Admissions
from serving.lifecycle.errands import Errands
from serving.lifecycle.live import Version
from serving.lifecycle.states import State
from serving.lifecycle.tasks import Tasks
from serving.lifecycle.writing import Writing

log = logging.getLogger(__name__)


class EarlyReads:
    """Reads versions before they are in the catalog, for as long as somebody waits for it.

    Args:
        engine: reads.
        errands: reads go on there when nobody waits any more.
        patience_s: longest wait, in seconds.
    """

    def __init__(self, engine: Engine, errands: Errands, patience_s: float) -> None:
        self._engine = engine
        self._errands = errands
        self._patience_s = patience_s

    def read(self, spec: TaskSpec) -> TaskVersion | None:
        """What the engine reads; None where it cannot, or takes too long. Blocks.

        Raises:
            SourceRefused: the operator does not allow the Source.
        """
        try:
            reading = self._errands.start(partial(self._engine.read, spec))
            return reading.result(self._patience_s)
        except TimeoutError:
            reading.add_done_callback(self._retire)
        except SourceRefused:
            raise
        except PolyheadError as error:
            log.info("%s cannot be read yet: %s", spec.name, error)
        except Exception:
            log.exception("Reading %s met an unexpected error", spec.name)
        return None

    def forget(self, version: TaskVersion | None) -> None:
        """Nobody took what was read."""
        if version is not None:
            self._engine.retire(version)

    def _retire(self, reading: Future[TaskVersion]) -> None:
        """Nobody waits for it any more: whoever admits the version reads it again."""
        if not reading.cancelled() and reading.exception() is None:
            self._engine.retire(reading.result())


class Sources:
    """Sources of new entries, as they shall be written down.

    Args:
        rules: what may be opened.
        store: knows where relative paths start.
    """

    def __init__(self, rules: SourceRules, store: CatalogStore) -> None:
        self._rules = rules
        self._store = store

    def read(self, name: str, body: Mapping[str, Any]) -> Put:
        """A request's body, checked.

        Raises:
            InvalidInput: it is broken; says where.
        """
        return read_put(name, body, self._store.base)

    def fixed(self, put: Put) -> Put:
        """The body with each hub revision replaced by the commit that it names now. Blocks.

        Raises:
            SourceRefused: the operator does not allow one of them.
        """
        body = map_sources(put.body, self._fixed)
        return put if body == put.body else self.read(put.name, body)

    def _fixed(self, source: str) -> str:
        whole = absolute(source, self._store.base)
        try:
            at_hand(whole, self._rules)
            pinned = pin_revision(whole, self._rules)
        except SourceRefused:
            raise
        except SourceError:
            return source  # it is not there now; the version's own page says so
        return source if pinned == whole else pinned


class Putting:
    """Makes tasks and gives them versions. Every method may block; for threads.

    Args:
        tasks: the live tasks.
        writing: writes the catalog.
        admissions: checks what was written.
        sources: fixes Sources.
        early: reads new versions.
        keep: superseded versions of a task that stay.
    """

    def __init__(
        self,
        tasks: Tasks,
        writing: Writing,
        admissions: Admissions,
        sources: Sources,
        early: EarlyReads,
        keep: int,
    ) -> None:
        self._tasks = tasks
        self._writing = writing
        self._admissions = admissions
        self._sources = sources
        self._early = early
        self._keep = keep

    def put(self, name: str, body: Mapping[str, Any], expected: str | None) -> bool:
        """As `LifeCycle.put`."""
        self._writing.refuse_read_only()
        put = self._sources.fixed(self._sources.read(name, body))
        if put.is_whole:
            is_new, _ = self._write(put, None, expected)
            self._start(put)
            return is_new
        prepared = self._early.read(put.plan.versions[0].spec)
        try:
            is_new, version = self._write(put, prepared.digest if prepared else None, expected)
        except BaseException:
            self._early.forget(prepared)
            raise
        if version is None:
            self._early.forget(prepared)
        elif prepared is not None:
            self._admissions.adopt(version, prepared)
        self._start(put)
        return is_new

    def _write(
        self, put: Put, digest: str | None, expected: str | None
    ) -> tuple[bool, Version | None]:
        """Write it down; says whether the task is new, and which version it is about."""
        was_there = True

        def change(entry: Entry | None) -> Entry:
            nonlocal was_there
            was_there = entry is not None
            now = self._writing.standing(put.name)
            if put.is_whole:
                return replace_task(entry, put, now.known)
            return add_version(
                entry,
                put,
                now.known,
                digest=digest,
                keep=self._keep - (now.is_succeeded and not put.plan.versions[0].shadow),
                droppable=now.droppable,
                rejected=now.rejected,
                answering=now.answering,
            )

        self._writing.change(put.name, change, expected)
        return not was_there, self._find(put, digest)

    def _find(self, put: Put, digest: str | None) -> Version | None:
        """The live version that a body with one version speaks of."""
        plan = put.plan.versions[0]
        for version in reversed(self._versions(put.name)):
            if plan.id is not None:
                is_it = version.id == plan.id
            elif digest is not None and version.digest is not None:
                is_it = version.digest == digest
            else:
                is_it = version.plan.key == plan.key
            if is_it:
                return version
        return None

    def _versions(self, name: str) -> tuple[Version, ...]:
        with self._tasks.lock:
            return self._tasks.find(name).versions if name in self._tasks else ()

    def _start(self, put: Put) -> None:
        """Check what the body speaks of; what was refused before too, for it may be mended."""
        keys = {plan.key for plan in put.plan.versions}
        for version in self._versions(put.name):
            if version.plan.key in keys and not version.is_ready:
                self._admissions.start(version, again=version.state is State.REJECTED)
