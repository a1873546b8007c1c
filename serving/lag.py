"""How late the event loop is: whoever holds it up delays every connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_EVERY_S = 0.5


async def watch_lag(tell: Callable[[float], None], every_s: float = _EVERY_S) -> None:
    """Say again and again how many seconds late a timer was, until cancelled.

    Args:
        tell: takes each measurement.
        every_s: seconds between them.
    """
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + every_s
        await asyncio.sleep(every_s)
        tell(max(0.0, loop.time() - due_s))
