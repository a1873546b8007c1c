"""Rows that a thread waits for and no client: examples, and whatever else has time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from adapter_runtime import Arrays, Encoded, WorkItem
from serving.errors import DeadlineExceeded
from serving.scheduler.entries import Entry


class LowRun:
    """Some rows at low priority, each an entry of its own, and who waits for all of them.

    Args:
        items: the rows.
        now_s: on the scheduler's clock.
        deadline_s: seconds from now.
    """

    def __init__(self, items: Sequence[WorkItem], now_s: float, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._done = threading.Event()
        self.entries = [
            Entry(
                version=item.version,
                encoded=Encoded((item.row,)),
                queued_s=now_s,
                deadline_s=now_s + deadline_s,
                raw=item.raw,
                owner=self,
                is_low=True,
            )
            for item in items
        ]

    def tell(self) -> None:
        """Some entries have finished."""
        if all(entry.is_finished for entry in self.entries):
            self._done.set()

    def wait(self) -> list[Arrays | Exception]:
        """One outcome for each row, when all have one or the deadline has come. Blocks."""
        self.tell()
        self._done.wait(min(self._deadline_s, threading.TIMEOUT_MAX))
        for entry in self.entries:
            entry.is_cancelled = True
        return [self._outcome(entry) for entry in self.entries]

    def _outcome(self, entry: Entry) -> Arrays | Exception:
        if entry.error is not None:
            return entry.error
        if entry.is_finished:
            return entry.answers()[0]
        return DeadlineExceeded(f"The row had not run within {self._deadline_s:g} s.")
