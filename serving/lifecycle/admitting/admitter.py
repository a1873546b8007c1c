"""Brings versions from their plans to readiness, beside the traffic."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from adapter_runtime import TaskVersion
from serving.lifecycle.live.version import Version


class Admissions(Protocol):
    """Reads, checks and admits versions on threads of its own; called from any thread."""

    def start(
        self, version: Version, *, is_awaited: bool = False, again: bool = False
    ) -> Future[None]:
        """Admit a version unless it is being admitted already; done when its state has settled.

        A ready version is done at once, and so is one that was refused and is not due yet. The
        future never fails: the state and the reasons tell.

        Args:
            version: which one.
            is_awaited: a client waits for it, so that it goes before those that nobody waits for.
            again: try also what was refused for good, or is not due yet.
        """
        ...

    def adopt(self, version: Version, prepared: TaskVersion) -> None:
        """Give a version what was read for it before it was in the catalog."""
        ...

    def estimate_s(self, version: Version) -> float:
        """How long admitting it will take from now on, from measured times, in seconds."""
        ...
