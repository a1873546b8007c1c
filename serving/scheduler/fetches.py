"""Cold versions whose files come over a network: first into host memory, then onto the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from adapter_runtime import TaskVersion
from serving.origins import HERE, Ways
from serving.scheduler.entries import Key, key_of


class Fetches:
    """Which versions are fetched next. Pure: its owner locks and fetches.

    A fetch may hang for as long as its hub does; it takes nobody's turn on the device meanwhile.

    Args:
        most: side by side from one origin.

    Attributes:
        num_threads: side by side at most.
    """

    def __init__(self, most: int) -> None:
        self._ways = Ways(most)
        self._under_way: dict[Key, str] = {}
        self._done: dict[Key, float] = {}
        self.num_threads = self._ways.most_in_all - most

    def split(
        self, waiting: Iterable[TaskVersion], origin: Callable[[TaskVersion], str]
    ) -> tuple[list[TaskVersion], list[TaskVersion]]:
        """The versions to fetch now, each `came` later, and those that need no fetch (any more).

        Args:
            waiting: cold versions that are waited for, the longest waiter first.
            origin: who has to answer before a version's weights are in host memory.
        """
        to_fetch, here, done = [], [], {}
        for version in waiting:
            key = key_of(version)
            if key in self._under_way:
                continue
            if key in self._done:
                done[key] = self._done[key]
                here.append(version)
            elif (place := origin(version)) == HERE:
                here.append(version)
            elif self._ways.is_free(place):
                self._ways.enter(place)
                self._under_way[key] = place
                to_fetch.append(version)
        self._done = done
        return to_fetch, here

    def came(self, version: TaskVersion, started_s: float) -> None:
        """A fetch has ended, well or not: the load that follows finds out."""
        key = key_of(version)
        self._ways.leave(self._under_way.pop(key))
        self._done[key] = started_s

    def take(self, version: TaskVersion) -> float | None:
        """When the fetch of a version that loads now had started; None where there was none."""
        return self._done.pop(key_of(version), None)
