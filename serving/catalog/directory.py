"""A folder with one YAML file per task: the catalog that can be written."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from serving.catalog.atomic import clear_leftovers, remove_file, replace_file, write_failure
from serving.catalog.found import Found, collect, decide, pick
from serving.catalog.local import read_file
from serving.catalog.locks import locked
from serving.catalog.plans import TaskFile, TaskPlan
from serving.catalog.shapes import check_name
from serving.catalog.stamps import Stamp, is_yaml, stamp_of, stamps_of, yaml_files
from serving.catalog.store import Change
from serving.catalog.text import dump, etag_of
from serving.catalog.watching import watch_folder
from serving.errors import CatalogReadOnly, TaskFileError

_LOCK_S = 10.0
_Known = tuple[Stamp, Found]


class DirectoryStore:
    """Tasks as files of a local folder, changed by several processes and by hand.

    A change holds the folder's lock, writes a temporary file and renames it: a reader sees the
    old file or the new one. Edits by hand do not take the lock; one that falls into the
    milliseconds between reading and renaming is overwritten.

    Args:
        folder: exists; may be empty.
        poll_s: seconds between looks at what cannot be watched.
        lock_s: longest wait for other writers, in seconds.
    """

    def __init__(self, folder: Path, poll_s: float = 5.0, lock_s: float = _LOCK_S) -> None:
        self.place = str(folder)
        self._folder = folder
        self._poll_s = poll_s
        self._lock_s = lock_s
        self._cache: Mapping[tuple[Path, Path], _Known] = {}
        self._device: int | None = None

    @property
    def base(self) -> Path:
        """Where relative Sources start; behind a link that is turned, elsewhere from then on."""
        return self._folder.resolve()

    @property
    def is_writable(self) -> bool:
        """Whether this process may change files there."""
        return os.access(self._folder, os.W_OK | os.X_OK)

    def read(self) -> TaskFile:
        """All tasks as they are now. Blocks.

        Raises:
            TaskFileError: the folder is gone or closed to us.
        """
        return collect(self._found())

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """As `CatalogStore.change`."""
        check_name(name)
        if not self._folder.is_dir():
            raise TaskFileError(f"{self.place}: the folder is gone; make it again.")
        if not self.is_writable:
            raise CatalogReadOnly(
                f"{self.place}: this process may not write there; mount it writable, or change "
                "the files where they come from."
            )
        try:
            with locked(self._folder, self._lock_s):
                clear_leftovers(self._folder)
                return self._apply(name, change, expected)
        except OSError as error:
            raise write_failure(self.place, error) from error

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """As `CatalogStore.watch`."""
        return watch_folder(self._folder, self._stamps, is_yaml, stop, self._poll_s)

    def _apply(self, name: str, change: Change, expected: str | None) -> TaskPlan | None:
        old = pick(name, self._found())
        new = decide(name, old, change, expected, self.base)
        if new is None:
            if old is not None:
                remove_file(Path(old.place))
            return None
        if isinstance(new.outcome, TaskFileError):
            raise new.outcome
        if new is old:
            return new.outcome
        data = dump(new.entry, old.data if old else b"")
        replace_file(Path(old.place) if old else self._new_file(name), data)
        return replace(new.outcome, etag=etag_of(data))

    def _new_file(self, name: str) -> Path:
        """A free file: one of the name may be there already and hold another task."""
        path, number = self._folder / f"{name}.yaml", 2
        while os.path.lexists(path):
            path, number = self._folder / f"{name}.{number}.yaml", number + 1
        return path

    def _found(self) -> list[Found]:
        try:
            paths = yaml_files(self._folder)
            device = self._folder.stat().st_dev
        except OSError as error:
            why = error.strerror or str(error)
            raise TaskFileError(f"{self.place}: no readable folder of tasks: {why}.") from error
        if not paths and self._device not in (None, device):
            # A volume that went away leaves an empty folder: that is no word to drop all tasks.
            raise TaskFileError(
                f"{self.place}: it is empty, and another volume than before; mount the old one "
                "again, or restart to serve what is there."
            )
        self._device = device if paths else self._device
        base, cache = self.base, self._cache
        found = {path: self._one(path, base, cache.get((base, path))) for path in paths}
        self._cache = {
            (base, path): (stamp, each)
            for path, (stamp, each) in found.items()
            if stamp is not None and each is not None
        }
        return [each for _, each in found.values() if each is not None]

    def _one(
        self, path: Path, base: Path, known: _Known | None
    ) -> tuple[Stamp | None, Found | None]:
        stamp = stamp_of(path)
        if known is not None and known[0] == stamp:
            return known
        found = read_file(path, base)
        return (stamp if stamp is not None and stamp.is_settled else None), found

    def _stamps(self) -> object:
        try:
            return stamps_of(yaml_files(self._folder))
        except OSError:
            return None
