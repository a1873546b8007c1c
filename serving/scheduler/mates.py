"""Entries that run as one: the same text for several tasks over the same adapters."""

from __future__ import annotations

from collections.abc import Iterable

from adapter_runtime import Composition, Row
from serving.scheduler.entries import Entry


def join_mates(entries: Iterable[Entry]) -> None:
    """Make mates of the entries whose rows and adapters are equal.

    Args:
        entries: of requests that came together, not queued yet.
    """
    found: dict[tuple[tuple[Row, ...], Composition | None], list[Entry]] = {}
    for entry in entries:
        key = entry.encoded.rows, entry.version.composition
        found.setdefault(key, []).append(entry)
    for alike in found.values():
        if len(alike) > 1:
            waiting: list[Entry] = []
            for entry in alike:
                entry.mates = waiting
