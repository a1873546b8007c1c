"""Looks at the catalog before a task is said to be unknown."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serving.lifecycle import glances
from serving.lifecycle.glances import Glances


class Catalog:
    """Counts its readers."""

    def __init__(self) -> None:
        self.num_reads = 0
        self.gate = threading.Event()
        self.gate.set()

    def read(self) -> None:
        """Look, as long as the gate is closed."""
        self.num_reads += 1
        self.gate.wait(30)


async def test_who_asks_at_once_shares_a_look() -> None:
    """A hundred requests for what does not exist read the catalog once."""
    catalog = Catalog()
    glance = Glances(catalog.read).glance
    await asyncio.gather(*(glance() for _ in range(100)))
    assert catalog.num_reads == 1


async def test_a_look_that_began_before_does_not_count() -> None:
    """It may have missed what was changed since."""
    catalog = Catalog()
    catalog.gate.clear()
    seen = Glances(catalog.read)
    first = asyncio.ensure_future(seen.glance())
    while not catalog.num_reads:
        await asyncio.sleep(0.01)
    second = asyncio.ensure_future(seen.glance())
    await asyncio.sleep(0)
    catalog.gate.set()
    await asyncio.gather(first, second)
    assert catalog.num_reads == 2


async def test_a_catalog_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while what is known has to do; nobody else reads meanwhile."""
    monkeypatch.setattr(glances, "_PATIENCE_S", 0.05)
    catalog = Catalog()
    catalog.gate.clear()
    seen = Glances(catalog.read)
    await asyncio.gather(*(seen.glance() for _ in range(3)))
    await seen.glance()
    assert catalog.num_reads == 1
    catalog.gate.set()


async def test_one_who_leaves_takes_the_look_from_nobody() -> None:
    """A client that closes its connection does not cancel what others wait for."""
    catalog = Catalog()
    catalog.gate.clear()
    seen = Glances(catalog.read)
    gone, stays = (asyncio.ensure_future(seen.glance()) for _ in range(2))
    while not catalog.num_reads:
        await asyncio.sleep(0.01)
    gone.cancel()
    catalog.gate.set()
    await stays
    assert catalog.num_reads == 1
