"""Rare and slow things, each on a thread of its own that dies with the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from serving.errors import Draining, Overloaded

Done = TypeVar("Done")
_RETRY_S = 1.0


class Errands:
    """Runs a bounded number of things at a time.

    Args:
        most: at a time; more are refused.
        name: of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._free = threading.Semaphore(most)
        self._name = name
        self._is_closed = False

    def start(self, work: Callable[[], Done]) -> Future[Done]:
        """Begin; what it returns or raises is the future's.

        Raises:
            Overloaded: too many are under way.
            Draining: closed.
        """
        if self._is_closed:
            raise Draining("The server is stopping; send the request again.", _RETRY_S)
        if not self._free.acquire(blocking=False):
            raise Overloaded("Too many tasks are being changed at once; try again soon.", _RETRY_S)
        future: Future[Done] = Future()
        future.set_running_or_notify_cancel()
        thread = threading.Thread(
            target=self._run, args=(work, future), name=self._name, daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no memory is left for its stack
            self._free.release()
            raise Overloaded("No thread can be started now; try again soon.", _RETRY_S) from error
        return future

    def _run(self, work: Callable[[], Done], future: Future[Done]) -> None:
        try:
            result = work()
        except BaseException as error:
            self._free.release()
            future.set_exception(error)
        else:
            self._free.release()
            future.set_result(result)

    def close(self) -> None:
        """Begin nothing more."""
        self._is_closed = True
