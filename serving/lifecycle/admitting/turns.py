"""Whose turn it is on the admitting threads."""

from __future__ import annotations

import threading
from collections import OrderedDict

from serving.lifecycle.live.version import Version
from serving.origins import Ways


class Turns:
    """Versions that wait for a thread, each once: first those that a client waits for.

    Args:
        most: versions from one origin that have a turn at once.

    Attributes:
        num_threads: threads that find work at most.
    """

    def __init__(self, most: int) -> None:
        self._changed = threading.Condition()
        self._awaited: OrderedDict[Version, None] = OrderedDict()
        self._others: OrderedDict[Version, None] = OrderedDict()
        self._ways = Ways(most)
        self._taken: dict[Version, str] = {}
        self._is_closed = False
        self.num_threads = self._ways.most_in_all

    def put(self, version: Version, *, is_awaited: bool) -> bool:
        """Let a version wait; one that waits already may move up. False when closed."""
        with self._changed:
            if self._is_closed:
                return False
            if is_awaited:
                self._others.pop(version, None)
                self._awaited[version] = None
            elif version not in self._awaited:
                self._others[version] = None
            self._changed.notify()
            return True

    def hurry(self, version: Version) -> None:
        """A client waits for it now: let it move up if it waits."""
        with self._changed:
            if version in self._others:
                del self._others[version]
                self._awaited[version] = None

    def take(self) -> Version | None:
        """The next one, which must be `done` later; None when closed. Blocks."""
        with self._changed:
            while not self._is_closed:
                if (version := self._next()) is not None:
                    return version
                self._changed.wait()
            return None

    def _next(self) -> Version | None:
        """The first whose origin has a turn left."""
        for waiting in (self._awaited, self._others):
            for version in waiting:
                origin = version.origin
                if self._ways.is_free(origin):
                    del waiting[version]
                    self._taken[version] = origin
                    self._ways.enter(origin)
                    return version
        return None

    def done(self, version: Version) -> None:
        """The turn of one that was taken is over."""
        with self._changed:
            self._ways.leave(self._taken.pop(version))
            self._changed.notify()

    def rounds(self, version: Version) -> int:
        """How many turns of its origin will be over before its own, at least."""
        with self._changed:
            origin = version.origin
            same = [one for one in (*self._awaited, *self._others) if one.origin == origin]
            return same.index(version) // self._ways.most if version in same else 0

    def close(self) -> None:
        """Let nobody in any more; who waits is dropped."""
        with self._changed:
            self._is_closed = True
            self._awaited.clear()
            self._others.clear()
            self._changed.notify_all()
