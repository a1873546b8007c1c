"""Who leaves first where room is needed: what is asked for seldom, and cheap to bring back.

Greedy-Dual-Size-Frequency (Cherkasova 1998) with few uses counted, so that yesterday's favourites
leave too. `benchmarks/eviction.py` holds it against the least recently used.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

_MOST_USES = 16
_FIXED_MS, _BYTES_PER_MS = 10.0, 200 << 10
"""What a load from disk takes, as measured on two cores: opening and checking, then by size."""


class Worth:
    """What keys are worth keeping; among equals the least recently used is worth least.

    Not thread-safe, its owner locks.
    """

    def __init__(self) -> None:
        self._clock = 0.0
        self._tick = 0
        self._known: dict[str, tuple[float, int, int]] = {}

    def use(self, key: str, num_bytes: int, share: float) -> None:
        """A key came or was asked for.

        Args:
            key: whose.
            num_bytes: to bring back, were it gone.
            share: of all the room that it takes, above 0.
        """
        _, _, uses = self._known.get(key, (0.0, 0, 0))
        uses = min(uses + 1, _MOST_USES)
        self._tick += 1
        price = (_FIXED_MS + num_bytes / _BYTES_PER_MS) / share
        self._known[key] = (self._clock + uses * price, self._tick, uses)

    def cheapest(self, keys: Iterable[str]) -> Iterator[str]:
        """Keys in the order in which they should leave."""
        heap = [(*self._known[key][:2], key) for key in keys]
        heapq.heapify(heap)
        while heap:
            yield heapq.heappop(heap)[2]

    def evict(self, key: str) -> None:
        """A key left because its room was needed: what stays has aged by its worth."""
        self._clock = max(self._clock, self._known.pop(key)[0])

    def forget(self, key: str) -> None:
        """A key left for another reason."""
        self._known.pop(key, None)
