"""A catalog that nobody can change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from serving.catalog.plans import TaskFile, TaskPlan
from serving.catalog.store import Change
from serving.errors import CatalogReadOnly


class FixedStore:
    """Says the same for ever.

    Args:
        file: what it says.
    """

    place = "fixed"
    is_writable = False
    base = Path("/")

    def __init__(self, file: TaskFile) -> None:
        self.file = file

    def read(self) -> TaskFile:
        """The same."""
        return self.file

    def change(self, name: str, change: Change, expected: str | None = None) -> TaskPlan | None:
        """Refuses."""
        raise CatalogReadOnly("It is fixed.")

    def watch(self, stop: threading.Event) -> Iterator[None]:
        """Nothing ever happens."""
        stop.wait()
        yield from ()
