"""What earlier checks said, so that a known version loads without a new one."""

from __future__ import annotations

from typing import Protocol

from adapter_runtime import Note


class Verdicts(Protocol):
    """Remembers by key; never raises, and forgetting is no harm. Thread-safe."""

    def find(self, key: str) -> tuple[Note, ...] | None:
        """The problems that a check found, none when it accepted; None when nothing is known."""
        ...

    def keep(self, key: str, problems: tuple[Note, ...]) -> None:
        """Remember what a check found."""
        ...
