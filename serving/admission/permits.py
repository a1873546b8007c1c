"""The right to be admitted: bounded requests and rows inside the process."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from adapter_runtime import TooLong
from serving.errors import Overloaded

_LEAST_RETRY_S = 1


class Permits:
    """Counts requests and rows inside; full means 429, not growth. Thread-safe.

    Args:
        max_requests: requests inside at once.
        max_rows: rows inside at once.
        backlog_s: an estimate of how long the rows inside will take, in seconds.
    """

    def __init__(self, max_requests: int, max_rows: int, backlog_s: Callable[[], float]) -> None:
        self.max_requests = max_requests
        self.max_rows = max_rows
        self._backlog_s = backlog_s
        self._lock = threading.Lock()
        self._num_requests = 0
        self._num_rows = 0

    @property
    def num_requests(self) -> int:
        """Requests inside now."""
        return self._num_requests

    def take(self, num_rows: int) -> Permit:
        """Admit a request of at least this many rows.

        Raises:
            Overloaded: the limits are reached.
            TooLong: the request alone is over the limit.
        """
        permit = Permit(self)
        with self._lock:
            if self._num_requests >= self.max_requests:
                raise self._overloaded(f"{self._num_requests} requests are already inside")
            self._reserve(num_rows, num_rows)
            self._num_requests += 1
            permit.num_rows = num_rows
        return permit

    def grow(self, permit: Permit, num_rows: int) -> None:
        """Raise an admitted request to this many rows; nothing happens when it has them already.

        Raises:
            Overloaded, TooLong: as `take`.
        """
        with self._lock:
            if permit.is_released or num_rows <= permit.num_rows:
                return
            self._reserve(num_rows - permit.num_rows, num_rows)
            permit.num_rows = num_rows

    def release(self, permit: Permit) -> None:
        """Give a permit back; a second time changes nothing."""
        with self._lock:
            if permit.is_released:
                return
            permit.is_released = True
            self._num_requests -= 1
            self._num_rows -= permit.num_rows

    def check_integrity(self) -> None:
        """Assert that the counts are possible."""
        assert 0 <= self._num_requests <= self.max_requests, (
            "Requests are miscounted. This is a bug."
        )
        assert 0 <= self._num_rows <= self.max_rows, "Rows are miscounted. This is a bug."

    def _reserve(self, num_more: int, num_in_request: int) -> None:
        if num_in_request > self.max_rows:
            raise TooLong(
                f"makes {num_in_request} rows; at most {self.max_rows} fit; send fewer or shorter."
            )
        if self._num_rows + num_more > self.max_rows:
            raise self._overloaded(f"{self._num_rows} rows are already inside")
        self._num_rows += num_more

    def _overloaded(self, reason: str) -> Overloaded:
        wait_s = max(_LEAST_RETRY_S, math.ceil(self._backlog_s()))
        return Overloaded(f"The server is full: {reason}; try again in {wait_s} s.", wait_s)


class Permit:
    """One admitted request; a context manager that gives itself back."""

    __slots__ = ("_permits", "is_released", "num_rows")

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self.num_rows = 0
        self.is_released = False

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, *_: object) -> None:
        self._permits.release(self)
