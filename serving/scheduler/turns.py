"""Who is next among some that share one thing: start-time fair queueing. Pure: no clock here."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")
_FEW_DEBTS = 64


class Turns(Generic[Item]):
    """Items by what they have had: who had least is first, and of equals who waited longest.

    What an item has had is its virtual time. One that comes starts where the others are, so that
    nobody saves turns up; one that leaves with more than the others still owes it when it is back.
    Virtual times rather than rounds with quanta: a step costs the same for any weight and length.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._waiting: list[tuple[float, int, Item]] = []
        self._aside: list[tuple[float, int, Item]] = []
        self._debts: dict[Hashable, float] = {}
        self._most_debts = _FEW_DEBTS
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._aside)

    def enter(self, key: Hashable, item: Item) -> None:
        """Take an item in.

        Args:
            key: what it is known by when it comes again.
            item: not among those that wait.
        """
        time = max(self._debts.pop(key, 0.0), self._now)
        heappush(self._waiting, (time, next(self._numbers), item))

    def first(self) -> Item | None:
        """Whose turn it is; None where all are set aside or nobody waits."""
        return self._waiting[0][2] if self._waiting else None

    def serve(self, amount: float) -> None:
        """The first one has had so much, and waits for more."""
        time, _, item = self._waiting[0]
        self._now = max(self._now, time)
        heapreplace(self._waiting, (time + amount, next(self._numbers), item))

    def serve_last(self, amount: float, key: Hashable) -> None:
        """The first one has had so much, and leaves."""
        time, _, _ = heappop(self._waiting)
        self._now = max(self._now, time)
        self._owe(key, time + amount)

    def set_aside(self, *, is_able: bool) -> None:
        """Let others go before the first one until `resume`.

        Args:
            is_able: whether it could run and only found no place, so that it keeps its time; else
                it is then taken for one that has just come.
        """
        time, number, item = heappop(self._waiting)
        self._aside.append((time if is_able else -1.0, number, item))

    def resume(self) -> None:
        """Have those that were set aside wait with the others again."""
        for time, number, item in self._aside:
            heappush(self._waiting, (self._now if time < 0 else time, number, item))
        self._aside.clear()

    def leave(self, key: Hashable, item: Item) -> None:
        """Take any item out. Costs a walk over all."""
        self.resume()
        place = self._place(item)
        time, _, _ = self._waiting.pop(place)
        heapify(self._waiting)
        self._owe(key, time)

    def refund(self, key: Hashable, item: Item | None, amount: float) -> None:
        """Take back what was served and not used. Costs a walk over all.

        Args:
            key: who.
            item: the one that waits; None where it has left.
            amount: how much.
        """
        if item is None:
            if key in self._debts:
                self._debts[key] -= amount
            return
        self.resume()
        place = self._place(item)
        time, number, _ = self._waiting[place]
        self._waiting[place] = (time - amount, number, item)
        heapify(self._waiting)

    def _place(self, item: Item) -> int:
        return next(i for i, (_, _, each) in enumerate(self._waiting) if each is item)

    def _owe(self, key: Hashable, time: float) -> None:
        if not len(self):
            self._debts.clear()
            return
        self._debts[key] = time
        if len(self._debts) > self._most_debts:
            self._debts = {key: time for key, time in self._debts.items() if time > self._now}
            self._most_debts = max(_FEW_DEBTS, 2 * len(self._debts))
