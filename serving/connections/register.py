"""All connections of a server: how many, what they hold, and who has to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import nsmallest
from typing import Protocol

from serving.connections.bounds import Bounds
from serving.connections.drops import Drop

_EVERY_S = 0.5
_AT_ONCE = 32
"""When the house is full, one of so many leaves at once: to look for one takes as long."""


class Connection(Protocol):
    """What the register asks of a connection."""

    @property
    def waits_since_s(self) -> float | None:
        """Since when nothing but its next request is waited for; None while there is more."""
        ...

    @property
    def num_unsent(self) -> int:
        """Bytes of answers that its client has not read."""
        ...

    def overdue(self, now_s: float) -> Drop | None:
        """Why it has lasted too long, if it has."""
        ...

    def drop(self, reason: Drop) -> None:
        """End it."""
        ...


class Connections:
    """Lets connections in, and ends those of clients who are too slow or hold too much.

    Args:
        bounds: of them.
        dropped: hears of each that is ended.
        counted: hears how many there are.
    """

    def __init__(
        self, bounds: Bounds, dropped: Callable[[str], None], counted: Callable[[int], None]
    ) -> None:
        self.bounds = bounds
        self._dropped = dropped
        self._counted = counted
        self._open: dict[Connection, None] = {}
        self._uploading: dict[Connection, None] = {}
        self._unread: dict[Connection, None] = {}
        self._num_held = 0
        self._next_look: asyncio.TimerHandle | None = None
        self._looked_s = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, one: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether there is room for a connection; who waits for nothing may have to make it."""
        if len(self._open) >= self.bounds.connections:
            self._make_room()
        if len(self._open) >= self.bounds.connections:
            return False
        self._open[one] = None
        if self._next_look is None:
            self._next_look = loop.call_later(_EVERY_S, self._look, loop)
        return True

    def leave(self, one: Connection, num_held: int) -> None:
        """A connection has ended, and no more holds so many bytes of bodies."""
        self._num_held -= num_held
        for those in (self._open, self._uploading, self._unread):
            those.pop(one, None)

    def hold(self, num_bytes: int) -> None:
        """So many more bytes of bodies are held; those whose bodies take longest may have to go."""
        self._num_held += num_bytes
        if self._num_held > self.bounds.held_bytes:
            for one in list(self._uploading)[:1]:
                self.end(one, Drop.NO_MEMORY)

    def release(self, num_bytes: int) -> None:
        """So many bytes are held no more."""
        self._num_held -= num_bytes

    def uploads(self, one: Connection) -> None:
        """Its body goes on in a later packet."""
        self._uploading.setdefault(one)

    def uploaded(self, one: Connection) -> None:
        """Its body is there."""
        self._uploading.pop(one, None)

    def writes(self, one: Connection, now_s: float) -> None:
        """Its client has much to read."""
        self._unread.setdefault(one)
        if now_s - self._looked_s > _EVERY_S / 10:
            self._make_memory(now_s)

    def wrote(self, one: Connection) -> None:
        """Its client has read most of it."""
        self._unread.pop(one, None)

    def end(self, one: Connection, reason: Drop) -> None:
        """End a connection, and say why."""
        self._uploading.pop(one, None)
        self._dropped(reason)
        one.drop(reason)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for one in list(self._open):
            reason = one.overdue(now_s)
            if reason is not None:
                self.end(one, reason)
        self._make_memory(now_s)
        self._counted(len(self._open))
        self._next_look = loop.call_later(_EVERY_S, self._look, loop) if self._open else None

    def _make_room(self) -> None:
        idle = [(since, one) for one in self._open if (since := one.waits_since_s) is not None]
        count = 1 + len(self._open) // _AT_ONCE
        for _, one in nsmallest(count, idle, key=lambda each: each[0]):
            del self._open[one]
            self.end(one, Drop.FULL)

    def _make_memory(self, now_s: float) -> None:
        """Who has had the longest time to read goes first."""
        self._looked_s = now_s
        num_unsent = {one: one.num_unsent for one in self._unread}
        excess = sum(num_unsent.values()) - self.bounds.held_bytes
        for one, size in num_unsent.items():
            if excess <= 0:
                return
            excess -= size
            del self._unread[one]
            self.end(one, Drop.NO_MEMORY)
