"""How soon refusals are told: who comes again at once must not cost what answers others."""

from __future__ import annotations

import asyncio

_PER_S = 50.0
_BURST = 100
_MOST_S = 1.0
_MOST_WAITING = 1000


class Pace:
    """Lets some refusals out at once and the others one after the other.

    A client that heeds Retry-After loses nothing; one that does not asks once a second on each
    connection, rather than as often as the server can say no.
    """

    def __init__(self) -> None:
        self._next_s = 0.0
        self.num_waiting = 0

    def pause_s(self, now_s: float) -> float:
        """Seconds until one more refusal may be told; at most one, and none where many wait."""
        self._next_s = max(self._next_s, now_s - _BURST / _PER_S)
        if self.num_waiting >= _MOST_WAITING:
            return 0.0
        self._next_s = min(self._next_s + 1 / _PER_S, now_s + _MOST_S)
        return max(0.0, self._next_s - now_s)

    async def pause(self, now_s: float, within_s: float) -> None:
        """Wait for as long as a refusal must.

        Args:
            now_s: on any one clock.
            within_s: seconds until the request's deadline.
        """
        wait_s = min(self.pause_s(now_s), within_s)
        if wait_s > 0:
            self.num_waiting += 1
            try:
                await asyncio.sleep(wait_s)
            finally:
                self.num_waiting -= 1
