"""Life-cycle actions that may outlive the request that asked for them."""

from __future__ import annotations

import asyncio
import logging

from serving.errors import DeadlineExceeded
from serving.service import Service

log = logging.getLogger(__name__)
LONGEST_S = 86400.0
"""Where a client states no deadline, the life cycle's own patience ends the wait."""


class Acts:
    """Waits for actions as long as their requests may, and holds on to those that go on.

    Args:
        service: acts.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._background: set[asyncio.Task[None]] = set()

    async def wait(
        self, name: str, version: str, action: str, limit_s: float, expected: str | None = None
    ) -> None:
        """Act, and return when it is done.

        Args:
            name, version, action, expected: as `LifeCycle.act`.
            limit_s: seconds to wait; the action goes on after that.

        Raises:
            DeadlineExceeded: it is not done in time.
            PolyheadError: it cannot be done.
        """
        work = await self.begin(name, version, action, limit_s, expected)
        if not work.done():
            raise DeadlineExceeded(
                f"It is not done within {limit_s:g} s and goes on; GET the task shows how it ends."
            )
        work.result()

    async def begin(
        self, name: str, version: str, action: str, limit_s: float, expected: str | None = None
    ) -> asyncio.Task[None]:
        """The action, after so many seconds or when it is done; arguments as of `wait`."""
        act = self._service.life_cycle.act(name, version, action, expected)
        work = asyncio.ensure_future(act)
        await asyncio.wait({work}, timeout=limit_s)
        if not work.done():
            self._leave_running(work, f"{action} of {name} {version}")
        return work

    def _leave_running(self, work: asyncio.Task[None], what: str) -> None:
        """Hold on to work that outlives its request, and say how it failed."""
        self._background.add(work)

        def end(done: asyncio.Task[None]) -> None:
            self._background.discard(done)
            if not done.cancelled() and (failure := done.exception()) is not None:
                log.warning("%s, which nobody waited for, failed: %s", what, failure)

        work.add_done_callback(end)
