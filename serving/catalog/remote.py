"""A catalog behind a URL: a folder of one YAML per task, or one YAML for all."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from serving.catalog.found import Found, collect, decide, pick, read_found, unreadable
from serving.catalog.locks import LOCK
from serving.catalog.objects import Objects
from serving.catalog.plans import TaskFile, TaskPlan
from serving.catalog.shapes import check_name
from serving.catalog.single import read_all, read_only
from serving.catalog.stamps import YAML, is_yaml
from serving.catalog.store import CatalogStore, Change
from serving.catalog.text import MAX_BYTES, dump, etag_of
from serving.catalog.turns import turn
from serving.catalog.watching import poll
from serving.errors import TaskFileError, VersionConflict

_STALE_S = 15.0
_MARK = ".polyhead"
"""Keeps a folder in being when its last task goes; object stores have no empty folders."""


def open_remote(url: str, poll_s: float) -> CatalogStore:
    """The catalog at a URL.

    Raises:
        TaskFileError: no library for such URLs is installed.
    """
    objects = Objects(url.rstrip("/"))
    if url.endswith(YAML):
        return RemoteFile(url, objects, poll_s)
    return RemoteStore(url, objects, poll_s)


class RemoteFile:
    """One YAML file for all tasks behind a URL; read, and never written."""

    is_writable = False

    def __init__(self, url: str, objects: Objects, poll_s: float = 5.0) -> None:
        self.place = objects.said
        self.base = url.rpartition("/")[0]
        self._objects = objects
        self._poll_s = poll_s

    def read(self) -> TaskFile:
        """As `CatalogStore.read`."""
        try:
            data = self._objects.read(self._objects.root)
        except FileNotFoundError:
            raise TaskFileError(f"{self.place}: no such task file.") from None
        return read_all(data, self.place, self.base)

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """Refuses.

        Raises:
            CatalogReadOnly: always.
        """
        raise read_only(self.place, "is one file for all tasks")

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """As `CatalogStore.watch`."""
        return poll(self._look, stop, self._poll_s)

    def _look(self) -> object:
        try:
            return etag_of(self._objects.read(self._objects.root))
        except (FileNotFoundError, TaskFileError):
            return None


class RemoteStore:
    """Tasks as objects of a folder behind a URL, changed by several processes.

    Guaranteed where a put is one step, as in object stores: a reader sees the old object or the
    new one, and a process killed at any instruction leaves one of them. Writers of this release
    take turns by a lock object. A new task's object is put only where none is, and another one only
    in place of what was read: in one step where the store can (S3), so that nothing is ever lost
    there. Not guaranteed elsewhere: an object changed by other means between the last look and the
    put, some milliseconds, is overwritten; a writer that stands still longer than `stale_s` loses
    its turn, and two may then write, of which the one that reads back the other's bytes is refused.
    Stores that write files piece by piece (SFTP, HDFS) may show a half-written one.

    Args:
        url: of the folder; need not exist.
        objects: what is behind it.
        poll_s: seconds between looks.
        stale_s: seconds after which a killed writer's lock is broken.
    """

    def __init__(
        self, url: str, objects: Objects, poll_s: float = 5.0, stale_s: float = _STALE_S
    ) -> None:
        self.place = objects.said
        self.base = url.rstrip("/")
        self.is_writable = True
        self._objects = objects
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._cache: Mapping[str, tuple[str, Found]] = {}
        self._was_there = False
        self._is_marked = False

    def read(self) -> TaskFile:
        """As `CatalogStore.read`."""
        return collect(self._found())

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """As `CatalogStore.change`; see what the class guarantees."""
        check_name(name)
        with turn(self._objects, self._path(LOCK), self._stale_s):
            self._mark()
            old = pick(name, self._found())
            new = decide(name, old, change, expected, self.base)
            if new is None:
                if old is not None:
                    self._objects.remove(old.place)
                return None
            if isinstance(new.outcome, TaskFileError):
                raise new.outcome
            if new is old:
                return new.outcome
            data = dump(new.entry, old.data if old else b"")
            self._write(name, old, data)
            return replace(new.outcome, etag=etag_of(data))

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """As `CatalogStore.watch`."""
        return poll(self._look, stop, self._poll_s)

    def _mark(self) -> None:
        if not self._is_marked:
            self._objects.create(self._path(_MARK), b"")
            self._is_marked = True

    def _write(self, name: str, old: Found | None, data: bytes) -> None:
        if old is None:
            path = self._path(f"{name}.yaml")
            self._objects.create(path, data)
        else:
            path = old.place
            self._objects.swap(path, old.etag, data)
        # What is there counts: a put that the driver repeats is refused the second time.
        if self._objects.look(path) != data:
            raise VersionConflict(
                f"{name} was changed by somebody else meanwhile; read it again and repeat."
            )

    def _path(self, name: str) -> str:
        return f"{self._objects.root.rstrip('/')}/{name}"

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        infos = self._objects.list()
        if infos is None and self._was_there:
            raise TaskFileError(f"{self.place}: the folder is gone.")
        self._was_there = self._was_there or infos is not None
        return {name: info for name, info in (infos or {}).items() if is_yaml(name)}

    def _found(self) -> list[Found]:
        infos = self._listed()
        signs = {name: self._sign(info) for name, info in infos.items()}
        known = {
            name: self._cache[name][1]
            for name, sign in signs.items()
            if sign and name in self._cache and self._cache[name][0] == sign
        }
        wanted = {name: info["name"] for name, info in infos.items() if name not in known}
        datas = self._objects.read_all(wanted.values())
        for name, path in wanted.items():
            found = self._one(name, path, datas.get(path, FileNotFoundError()))
            if found is not None:
                known[name] = found
        self._cache = {name: (signs[name], each) for name, each in known.items() if each.data}
        return [known[name] for name in sorted(known)]

    def _one(self, name: str, path: str, data: bytes | Exception) -> Found | None:
        stem = name.rpartition(".")[0]
        if isinstance(data, FileNotFoundError):
            return None
        if isinstance(data, Exception):
            return unreadable(stem, path, self._objects.failure(f"{name} is not readable", data))
        if len(data) > MAX_BYTES:
            return unreadable(stem, path, TaskFileError(f"{name}: larger than {MAX_BYTES} bytes."))
        return read_found(data, stem, path, self.base)

    def _sign(self, info: Mapping[str, Any]) -> str:
        try:
            return self._objects.sign(info)
        except (FileNotFoundError, TaskFileError):
            return ""

    def _look(self) -> object:
        try:
            return {name: self._sign(info) for name, info in self._listed().items()}
        except TaskFileError:
            return None
