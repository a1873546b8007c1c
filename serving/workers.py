"""Threads for encode, decode and loads, and the way back to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

log = logging.getLogger(__name__)
Chore = Callable[[], None]


class Queue(Protocol):
    """Chores that wait, in some order."""

    def put(self, chore: Chore | None, /) -> None:
        """Queue a chore, or the end of a thread, which comes after all that is queued."""
        ...

    def get(self) -> Chore | None:
        """The next one. Blocks."""
        ...

    def qsize(self) -> int:
        """How many wait."""
        ...


class Workers:
    """A few threads that do chores; they die with the process.

    Args:
        count: how many threads.
        name: of the threads.
        chores: says which is next; in the order given by default.
    """

    def __init__(self, count: int, name: str = "encode", chores: Queue | None = None) -> None:
        self._chores: Queue = SimpleQueue() if chores is None else chores
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def do(self, chore: Chore) -> None:
        """Queue a chore; it must handle its own errors."""
        self._chores.put(chore)

    @property
    def num_chores(self) -> int:
        """Chores that wait for a thread."""
        return self._chores.qsize()

    def close(self, timeout_s: float) -> bool:
        """End the threads after what is queued. Blocks.

        Args:
            timeout_s: longest wait; threads that are still busy then die with the process.

        Returns:
            Whether all have ended.
        """
        for _ in self._threads:
            self._chores.put(None)
        until_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (chore := self._chores.get()) is not None:
            try:
                chore()
            except Exception:
                log.exception("A worker met an unexpected error and goes on")


class Deliveries:
    """Runs callbacks on the event loop, many per wake-up: waking it costs more than the callback.

    Args:
        loop: the event loop that is to run them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Chore] = deque()
        self._lock = threading.Lock()
        self._is_called = False

    def put(self, *callbacks: Chore) -> None:
        """Have the loop run callbacks soon. Called from any thread; a closed loop is no error."""
        if not callbacks:
            return
        self._waiting.extend(callbacks)
        with self._lock:
            if self._is_called:
                return
            self._is_called = True
        try:
            self._loop.call_soon_threadsafe(self._flush)
        except RuntimeError:
            log.warning("An answer came after the event loop had closed")

    def _flush(self) -> None:
        with self._lock:
            self._is_called = False
        while self._waiting:
            self._waiting.popleft()()
