"""Whose turn it is on the admitting threads."""

from __future__ import annotations

import threading
from collections import OrderedDict

from serving.lifecycle.live import Version


class Turns:
    """Versions that wait for a thread, each once: first those that a client waits for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._awaited: OrderedDict[Version, None] = OrderedDict()
        self._others: OrderedDict[Version, None] = OrderedDict()
        self._is_closed = False

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
        """The next one; None when closed. Blocks."""
        with self._changed:
            while not self._is_closed:
                for waiting in (self._awaited, self._others):
                    if waiting:
                        return waiting.popitem(last=False)[0]
                self._changed.wait()
            return None

    def place(self, version: Version) -> int:
        """How many go before it."""
        with self._changed:
            for number, waiting in enumerate((*self._awaited, *self._others)):
                if waiting is version:
                    return number
            return 0

    def close(self) -> None:
        """Let nobody in any more; who waits is dropped."""
        with self._changed:
            self._is_closed = True
            self._awaited.clear()
            self._others.clear()
            self._changed.notify_all()
