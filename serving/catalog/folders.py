"""A folder of adapters without any YAML: one task per adapter, as it stands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from serving.catalog.found import Found, collect, found_entry, unreadable
from serving.catalog.plans import TaskFile, TaskPlan
from serving.catalog.shapes import check_name
from serving.catalog.single import read_only
from serving.catalog.stamps import stamps_of
from serving.catalog.store import Change
from serving.catalog.text import etag_of
from serving.catalog.watching import watch_folder
from serving.errors import TaskFileError

_ADAPTER = "adapter_config.json"
_CONFIGS = (_ADAPTER, "head_config.json")


class FolderStore:
    """Adapter folders, each a task of its name; read, and never written.

    Args:
        folder: holds the adapter folders.
        poll_s: seconds between looks at what cannot be watched.
    """

    is_writable = False

    def __init__(self, folder: Path, poll_s: float = 5.0) -> None:
        self.place = str(folder)
        self._folder = folder
        self._poll_s = poll_s

    @property
    def base(self) -> Path:
        """Where relative Sources start."""
        return self._folder.resolve()

    def read(self) -> TaskFile:
        """All tasks as they are now. Blocks.

        Raises:
            TaskFileError: the folder is gone or closed to us.
        """
        try:
            folders = adapter_folders(self._folder)
        except OSError as error:
            why = error.strerror or str(error)
            raise TaskFileError(f"{self.place}: no readable folder of adapters: {why}.") from error
        return collect(map(_found, folders))

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """Refuses.

        Raises:
            CatalogReadOnly: always.
        """
        raise read_only(self.place, "holds bare adapter folders")

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """As `CatalogStore.watch`."""
        return watch_folder(self._folder, self._look, lambda _: False, stop, self._poll_s)

    def _look(self) -> object:
        try:
            return [
                (folder.name, stamps_of(folder / name for name in _CONFIGS))
                for folder in adapter_folders(self._folder)
            ]
        except OSError:
            return None


def adapter_folders(folder: Path) -> list[Path]:
    """The folders in it that a task can be made of, sorted.

    Raises:
        OSError: it cannot be listed.
    """
    return [
        inner
        for inner in sorted(folder.iterdir())
        if any((inner / name).is_file() for name in _CONFIGS)
    ]


def _found(folder: Path) -> Found:
    try:
        check_name(folder.name)
    except TaskFileError as error:
        return unreadable(folder.name, str(folder), error)
    source = str(folder.resolve())
    key = "adapter" if (folder / _ADAPTER).is_file() else "head"
    return found_entry(
        {"name": folder.name, key: source}, folder.name, folder, etag_of(source.encode())
    )
