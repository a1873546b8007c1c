"""One YAML file for all tasks: edited by hand only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_runtime import SourceError, absolute
from serving.catalog.entries import Base
from serving.catalog.found import Found, collect, found_entry
from serving.catalog.local import read_bytes
from serving.catalog.plans import TaskFile, TaskPlan
from serving.catalog.shapes import near_names
from serving.catalog.stamps import stamp_of
from serving.catalog.store import Change
from serving.catalog.text import etag_of, parse
from serving.catalog.watching import watch_folder
from serving.errors import CatalogReadOnly, TaskFileError

_KEYS = ("backbone", "tasks")


class SingleStore:
    """A `tasks.yaml`; its tasks are read, and never written.

    Args:
        file: a regular file.
        poll_s: seconds between looks at what cannot be watched.
    """

    is_writable = False

    def __init__(self, file: Path, poll_s: float = 5.0) -> None:
        self.place = str(file)
        self._file = file
        self._poll_s = poll_s

    @property
    def base(self) -> Path:
        """Where relative Sources start."""
        return self._file.resolve().parent

    def read(self) -> TaskFile:
        """All tasks as they are now. Blocks.

        Raises:
            TaskFileError: the file is gone or broken as a whole.
        """
        try:
            data = read_bytes(self._file)
        except FileNotFoundError:
            raise TaskFileError(f"{self.place}: no such task file or folder.") from None
        return read_all(data, self.place, self.base)

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """Refuses.

        Raises:
            CatalogReadOnly: always.
        """
        raise read_only(self.place, "is one file for all tasks")

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """As `CatalogStore.watch`."""
        file = self._file
        return watch_folder(
            file.parent, lambda: stamp_of(file), file.name.__eq__, stop, self._poll_s
        )


def read_all(data: bytes, place: str, base: Base) -> TaskFile:
    """The tasks of one file.

    Args:
        data: of the file.
        place: the file, for messages.
        base: relative Sources start here.

    Raises:
        TaskFileError: it is no YAML, or not of tasks.
    """
    content = parse(data, place)
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list):
        raise TaskFileError(f"{place}: expected a mapping with a list under `tasks:`.")
    for key in content:
        if key not in _KEYS:
            near = near_names(str(key), _KEYS) or _KEYS
            raise TaskFileError(
                f"{place}: {key} is no known key; did you mean {' or '.join(near)}?"
            )
    backbone = content.get("backbone")
    if backbone is not None and not isinstance(backbone, str):
        raise TaskFileError(f"{place}: backbone must be a Source, written as text.")
    try:
        backbone = absolute(backbone, base) if backbone else None
    except (SourceError, OSError, RuntimeError, ValueError) as error:
        raise TaskFileError(f"{place}: backbone: {error}") from error
    etag = etag_of(data)  # of all: a file with aliases can stand for endless entries
    found = (_found(entry, at, base, etag) for at, entry in enumerate(content["tasks"]))
    return collect(found, backbone)


def read_only(place: str, why: str) -> CatalogReadOnly:
    """The refusal of a change, with what to do instead."""
    return CatalogReadOnly(
        f"{place} {why}, which is not changed over HTTP: edit it, or serve a folder with one YAML "
        "file per task."
    )


def _found(entry: Any, at: int, base: Base, etag: str) -> Found:
    name = entry.get("name") if isinstance(entry, dict) else None
    return found_entry(
        entry, name if isinstance(name, str) and name else f"tasks[{at}]", base, etag
    )
