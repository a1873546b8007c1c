"""Who waits for an admission: a bounded share of all that may be inside."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from serving.errors import DeadlineExceeded, Draining, StillLoading

_MOST_SHARE = 4
"""Times the places still free that those who wait for one version may have: 4 of 5 at most."""


class WaitingRoom:
    """Holds requests until a version is here; belongs to the event loop.

    Waiting requests have their permits already, so only so many may wait: a slow load must leave
    room for the requests of warm tasks, and some for those who wait for another load.

    Args:
        max_requests: requests that may wait at once, at least 1.
        max_rows: items of theirs; a request alone may have more.
        clock: monotonic seconds.
    """

    def __init__(self, max_requests: int, max_rows: int, clock: Callable[[], float]) -> None:
        self._max_requests = max(1, max_requests)
        self._max_rows = max_rows
        self._clock = clock
        self._requests: Counter[Hashable] = Counter()
        self._rows: Counter[Hashable] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Let requests wait on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()

    def close(self, then: Callable[[], None]) -> None:
        """Send all who wait away. Any thread, and signal handlers.

        Args:
            then: called on the event loop thereafter.
        """
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_away, then)

    def _send_away(self, then: Callable[[], None]) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
            then()

    @contextmanager
    def place(self, version: Hashable, num_rows: int, estimate_s: float) -> Iterator[None]:
        """A place to wait in.

        Args:
            version: what is waited for.
            num_rows: items of the request.
            estimate_s: how long that will take, in seconds.

        Raises:
            StillLoading: there is none.
        """
        is_full = _is_full(self._requests, version, 1, self._max_requests)
        if is_full or _is_full(self._rows, version, num_rows, self._max_rows):
            raise StillLoading(
                "Too many requests wait for tasks that are loading; try again soon.", estimate_s
            )
        self._requests[version] += 1
        self._rows[version] += num_rows
        try:
            yield
        finally:
            self._requests[version] -= 1
            self._rows[version] -= num_rows
            if not self._requests[version]:
                del self._requests[version], self._rows[version]

    async def wait(self, admission: Future[None], until_s: float) -> None:
        """Wait until an admission has settled.

        Args:
            admission: never fails and cannot be cancelled.
            until_s: on the clock.

        Raises:
            DeadlineExceeded: it has not by then.
            Draining: the server is stopping.
        """
        settled = asyncio.wrap_future(admission)
        left_s = until_s - self._clock()
        if left_s > 0:
            both = {settled, self._closed}
            await asyncio.wait(both, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if self._closed.done():
            raise draining()
        if not settled.done():
            raise DeadlineExceeded(
                "The task was still loading at the deadline; send x-deadline-ms with more time, "
                "or try again soon."
            )


def _is_full(counts: Counter[Hashable], version: Hashable, more: int, most: int) -> bool:
    """Whether so many more find no place; the first always does."""
    free = most - counts.total()
    own = counts[version]
    return bool(counts) and (more > free or (own > 0 and own + more > _MOST_SHARE * free))


def draining() -> Draining:
    """The error of a request that comes or waits while the server stops."""
    return Draining("The server is stopping; send the request again.", 1.0)
