"""Texts that wait to be read: in fair shares, so that no task's long ones hold up the others'."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from serving.scheduler.lanes import Lanes

Chore = Callable[[], None]
LONG_CHARS = 100_000
"""A text that a thread reads for a tenth of a second or more."""


@dataclass(slots=True, eq=False)
class Reading:
    """A chore that reads texts for a caller.

    Args:
        chore: what is to be done.
        num_chars: how long the texts are.
        task, caller, weight: for whom.
    """

    chore: Chore
    num_chars: int
    task: str
    caller: str
    weight: float


class Chores:
    """What a few threads have to do: at once what was read before, and texts in fair shares.

    Callers share the threads by weight and each one's tasks evenly, counted in characters. Long
    texts leave one thread to the others. Thread-safe.

    Args:
        num_threads: how many threads ask for chores.
    """

    def __init__(self, num_threads: int) -> None:
        self._changed = threading.Condition()
        self._first: deque[Chore] = deque()
        self._lanes: Lanes[Reading] = Lanes(attrgetter("task"))
        self._num_readings = self._num_ends = self._num_long = 0
        self._most_long = max(1, num_threads - 1)

    def put(self, chore: Chore | None) -> None:
        """Have something done before all reading; None ends a thread when nothing is left."""
        with self._changed:
            if chore is None:
                self._num_ends += 1
            else:
                self._first.append(chore)
            self._changed.notify()

    def put_reading(self, reading: Reading) -> None:
        """Have texts read when it is their turn."""
        with self._changed:
            self._lanes.add(reading)
            self._num_readings += 1
            self._changed.notify()

    def qsize(self) -> int:
        """How many wait."""
        return len(self._first) + self._num_readings

    def get(self) -> Chore | None:
        """What a thread does next; None: it ends. Blocks."""
        with self._changed:
            while True:
                chore = self._next()
                if chore is not None:
                    return chore
                if self._num_ends:
                    self._num_ends -= 1
                    return None
                self._changed.wait()

    def _next(self) -> Chore | None:
        if self._first:
            return self._first.popleft()
        reading = self._next_reading()
        self._lanes.resume()
        if reading is None:
            return None
        if reading.num_chars < LONG_CHARS:
            return reading.chore
        self._num_long += 1
        return partial(self._read_long, reading)

    def _next_reading(self) -> Reading | None:
        while (lane := self._lanes.first()) is not None:
            reading = lane.entries[0]
            if reading.num_chars >= LONG_CHARS and self._num_long >= self._most_long:
                self._lanes.pass_over(lane, is_able=True)
                continue
            lane.entries.popleft()
            self._lanes.serve(lane, max(1, reading.num_chars))
            self._num_readings -= 1
            return reading
        return None

    def _read_long(self, reading: Reading) -> None:
        try:
            reading.chore()
        finally:
            with self._changed:
                self._num_long -= 1
                self._changed.notify()


def num_chars(inputs: Iterable[Any]) -> int:
    """Characters of all texts in inputs, whatever their shape."""
    found, left = 0, [*inputs]
    while left:  # no recursion: who sends them says how deep they are
        value = left.pop()
        if isinstance(value, str):
            found += len(value)
        elif isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
    return found
