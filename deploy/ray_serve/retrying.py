"""Work that may be done twice is done again when the replica that had it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often work is tried, and what is waited between.

    Args:
        tries: 1 or more. Few: work that kills its replica must not kill them all.
        wait_s: before the second try, in seconds; doubled before each further one.
    """

    tries: int = 3
    wait_s: float = 0.05


class Lost(Exception):
    """A replica went with the work; for one try, and after the last for all of them."""


async def again(
    work: Callable[[], Awaitable[Result]],
    patience: Patience,
    until_s: float,
    heard: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """The result of the first try that is not lost.

    Args:
        work: one try; raises Lost when its replica went.
        patience: how often, and how far apart.
        until_s: no try begins later, on the clock.
        heard: called before each further try.
        clock: seconds.

    Raises:
        Lost: every try was lost, or there is no time for another one.
    """
    wait_s = patience.wait_s
    for _ in range(patience.tries - 1):
        try:
            return await work()
        except Lost:
            if clock() + wait_s >= until_s:
                raise
        await asyncio.sleep(wait_s)
        wait_s *= 2
        heard()
    return await work()
