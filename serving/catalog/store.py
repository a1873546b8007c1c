"""The seam to where task files lie."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from serving.catalog.plans import TaskFile, TaskPlan

Entry = Mapping[str, Any]
"""A task's entry as YAML gives it, with its `name`."""
Change = Callable[[Entry | None], Entry | None]
"""From the entry as it is (None: there is none) to what it shall be (None: there shall be none)."""


class CatalogStore(Protocol):
    """The single source of truth of tasks; thread-safe, and shared by processes."""

    place: str
    """Where it is, as an operator would name it."""

    @property
    def is_writable(self) -> bool:
        """Whether `change` works."""
        ...

    @property
    def base(self) -> Path | str:
        """The folder, or its URL, where relative Sources start."""
        ...

    def read(self) -> TaskFile:
        """All tasks as they are now. Blocks.

        Raises:
            TaskFileError: it cannot be read as a whole.
        """
        ...

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """Change one task: all of it or, whenever the process is killed, nothing. Blocks.

        Args:
            name: of the task.
            change: called once or more with the entry as it is; may refuse by raising.
            expected: the etag that the entry must have; `*` any entry; `-` none at all.

        Returns:
            The task as it is now; None where it is deleted.

        Raises:
            CatalogReadOnly: it cannot be changed.
            VersionConflict: the entry is not the expected one.
            TaskFileError: the new entry is broken, or cannot be written (such as a full disk).
        """
        ...

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """Yields whenever something may have changed, until stopped; never raises. Blocks."""
        ...
