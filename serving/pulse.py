"""Whether the device computes, for health checks: asked often, and cheap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from adapter_runtime import CapacityError, Engine
from serving.errors import DeviceFailed
from serving.scheduler.control import bare_row
from serving.scheduler.loop import BatchLoop

log = logging.getLogger(__name__)
_FRESH_S = 2.0
"""A forward that ended so lately says enough, so that a busy server runs none for its checks."""
_PATIENCE_S = 10.0
_RETRY_S = 5.0


class Pulse:
    """Runs a row of the bare backbone when nothing else has run lately.

    Args:
        engine: owner of the device.
        loop: runs the row among the others.
        clock: the loop's, in seconds.
    """

    def __init__(self, engine: Engine, loop: BatchLoop, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._loop = loop
        self._clock = clock
        self._beat: asyncio.Future[None] | None = None

    async def check(self) -> None:
        """Return if the device computes; whoever asks meanwhile waits for the same row.

        Raises:
            DeviceFailed: the row raises, or has not run in time.
        """
        if self._clock() - self._loop.last_ran_s < _FRESH_S:
            return
        if self._beat is None or self._beat.done():
            self._beat = asyncio.ensure_future(asyncio.to_thread(self._run))
        await asyncio.shield(self._beat)

    def _run(self) -> None:
        try:
            with bare_row(self._engine) as item:
                outcome = self._loop.run_low([item], _PATIENCE_S)[0]
        except Exception as error:
            log.warning("The bare backbone cannot be tried: %s", error)
            return
        if isinstance(outcome, Exception) and not isinstance(outcome, CapacityError):
            log.error("The device does not compute", exc_info=outcome)
            raise DeviceFailed(
                "The server's device does not compute; its log has the reason. Restart the server.",
                _RETRY_S,
            )
