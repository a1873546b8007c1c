"""`PUT /tasks/{name}`: read what the new version is, write it down, check it beside the traffic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from serving.catalog.changes import add_version, replace_task
from serving.catalog.puts import Put
from serving.catalog.store import Entry
from serving.lifecycle.admitting.admitter import Admissions
from serving.lifecycle.changing.early import EarlyReads, Sources
from serving.lifecycle.changing.writing import Writing
from serving.lifecycle.live.states import State
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version


class Putting:
    """Makes tasks and gives them versions. Every method may block; for threads.

    Args:
        tasks: the live tasks.
        writing: writes the catalog.
        admissions: checks what was written.
        sources: fixes Sources.
        early: reads new versions.
        keep: superseded versions of a task that stay.
        patience_s: how long to wait for what a new version is before it is written down.
    """

    def __init__(
        self,
        tasks: Tasks,
        writing: Writing,
        admissions: Admissions,
        sources: Sources,
        early: EarlyReads,
        keep: int,
        patience_s: float,
    ) -> None:
        self._tasks = tasks
        self._writing = writing
        self._admissions = admissions
        self._sources = sources
        self._early = early
        self._keep = keep
        self._patience_s = patience_s

    def put(self, name: str, body: Mapping[str, Any], expected: str | None) -> bool:
        """As `LifeCycle.put`."""
        self._writing.refuse_read_only()
        until_s = time.monotonic() + self._patience_s
        put = self._sources.read(name, body)
        self._sources.check(put)
        put = self._early.fixed(put, self._sources, until_s)
        if put.is_whole:
            is_new, _ = self._write(put, None, expected)
            self._start(put)
            return is_new
        prepared = self._early.read(put.plan.versions[0].spec, until_s)
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
            """The entry with what is put."""
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
