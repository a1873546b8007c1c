"""Looks at the catalog on demand: before a task is said to be unknown, and when told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from serving.errors import ServerBusy
from serving.lifecycle.changing.errands import Errands

_LEAST_S = 0.1
_SHARE = 4
"""A look that took long is followed by this many times as long without one."""
_PATIENCE_S = 2.0


class Glances:
    """Looks that whoever asks at the same time shares, and that cannot crowd out other work.

    Another process may have changed the catalog a moment ago, and clients hear of it before the
    watcher does. Requests for what does not exist must not become a storm of reads, though.

    Args:
        look: reads the catalog and takes over what changed. Blocks; must not raise.
    """

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._errands = Errands(1, "look-at-catalog")
        self._turn = asyncio.Lock()
        self._next: asyncio.Future[None] | None = None
        self._free_s = 0.0

    async def glance(self) -> None:
        """Return after a look that began after this call, or when the catalog takes too long."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._take_turn())
        await asyncio.wait({self._next}, timeout=_PATIENCE_S)

    async def _take_turn(self) -> None:
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_s - time.monotonic()))
            self._next = None  # who comes from now on came after this look began
            began_s = time.monotonic()
            with suppress(ServerBusy):  # no thread can be had: what is known has to do
                await asyncio.wrap_future(self._errands.start(self._look))
            now_s = time.monotonic()
            self._free_s = now_s + max(_LEAST_S, _SHARE * (now_s - began_s))
