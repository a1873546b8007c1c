"""What every replica does beside its requests: get warm first, then keep its gauges true."""

from __future__ import annotations

import asyncio
import logging

from serving.service import Service

log = logging.getLogger(__name__)
_LONGEST_S = 600.0
_LOOK_S = 0.05
_MEASURE_S = 5.0


async def wait_until_warm(service: Service, longest_s: float = _LONGEST_S) -> None:
    """Return when what is to be loaded at start has been or has failed, or takes too long."""
    for _ in range(round(longest_s / _LOOK_S)):
        if service.is_warm:
            return
        await asyncio.sleep(_LOOK_S)
    log.warning("Pinned tasks are still loading after %g s; it answers", longest_s)


async def keep_measuring(service: Service) -> None:
    """Set the gauges now and from now on: nobody asks a replica for its metrics."""
    while True:
        await asyncio.to_thread(service.measure)
        await asyncio.sleep(_MEASURE_S)
