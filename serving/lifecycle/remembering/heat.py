"""How much things were used lately: counts that fade."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Heat(Generic[Key]):
    """Counts by key that halve every `half_life_s`; not thread-safe.

    Args:
        half_life_s: seconds, above 0.
        most: keys that are remembered at least; beyond twice as many the coldest are forgotten.
    """

    def __init__(self, half_life_s: float, most: int) -> None:
        self._half_life_s = half_life_s
        self._most = most
        self._counts: dict[Key, tuple[float, float]] = {}

    def add(self, key: Key, count: float, now_s: float) -> None:
        """Count uses.

        Args:
            key: what was used.
            count: how often, 0 or more.
            now_s: on any clock that goes forward, in seconds.
        """
        self._counts[key] = (self.of(key, now_s) + count, now_s)
        if len(self._counts) > 2 * self._most:
            kept = self.hottest(self._most, now_s)
            self._counts = {each: (heat, now_s) for each, heat in kept.items()}

    def of(self, key: Key, now_s: float) -> float:
        """What is left of a key's count now."""
        count, at_s = self._counts.get(key, (0.0, now_s))
        return float(count * 0.5 ** (max(0.0, now_s - at_s) / self._half_life_s))

    def hottest(self, num: int, now_s: float) -> Mapping[Key, float]:
        """The `num` most used keys with their counts, most used first."""
        heats = {key: self.of(key, now_s) for key in self._counts}
        return {key: heats[key] for key in heapq.nlargest(num, heats, key=heats.__getitem__)}
