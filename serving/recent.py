"""The last batches, for operators who ask what the device does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

MAX_NAMES = 16
"""Tasks of a batch that are named; hundreds may share one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One forward, as operators and traces see it; picklable.

    Args:
        id: 32 hexadecimal digits.
        began_s: Unix time, in seconds.
        load_s, compute_s: what it took to bring weights in, and then to compute, in seconds.
        waited_s: how long its oldest row had waited, in seconds.
        num_rows, num_tokens, num_tasks, num_adapters: distinct ones of the last two.
        num_distinct: rows that ran; equal ones over equal adapters run as one.
        num_padding_avoided: padding tokens that were not computed.
        tasks: names of the first `MAX_NAMES`.
        lane: who ran it.
        error: the type of what it met as a whole; empty where it ran.
    """

    id: str
    began_s: float
    load_s: float
    compute_s: float
    waited_s: float
    num_rows: int
    num_tokens: int
    num_tasks: int
    num_adapters: int
    num_padding_avoided: int
    tasks: tuple[str, ...]
    lane: str
    error: str = ""
    num_distinct: int = 0

    @property
    def ended_s(self) -> float:
        """Unix time, in seconds."""
        return self.began_s + self.load_s + self.compute_s


def busy_s(batches: Iterable[Batch], until_s: float = inf) -> float:
    """Seconds in which at least one of the batches computed; some run side by side.

    Args:
        until_s: only those before, in Unix time.
    """
    total, seen_s = 0.0, -inf
    for batch in sorted(batches, key=lambda each: each.ended_s - each.compute_s):
        begins_s = max(seen_s, batch.ended_s - batch.compute_s)
        ends_s = min(until_s, batch.ended_s)
        total += max(0.0, ends_s - begins_s)
        seen_s = max(seen_s, ends_s)
    return total


class RecentBatches:
    """Keeps the last batches; the oldest makes room. Thread-safe.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._kept: deque[Batch] = deque(maxlen=most)
        self._lock = threading.Lock()

    def add(self, batch: Batch) -> None:
        """Keep one that has just run."""
        with self._lock:
            self._kept.append(batch)

    def last(self, count: int) -> list[Batch]:
        """So many of them, or fewer, the newest first."""
        with self._lock:
            kept = list(self._kept)
        return kept[::-1][:count]
