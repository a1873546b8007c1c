"""What a server says of its own health."""

from __future__ import annotations

import httpx

from serving.settings import load_settings
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine


def test_failed_health_checks_are_counted() -> None:
    """So that somebody is told before the restart hides it."""
    engine = FakeEngine()

    async def use(client: httpx.AsyncClient) -> tuple[int, str]:
        engine.fails = RuntimeError("launch failure")
        failed = await client.get("/health/live")
        engine.fails = None
        return failed.status_code, (await client.get("/metrics")).text

    status, metrics = Server(engine, load_settings()).run(use)
    assert status == 503
    assert "polyhead_device_failures_total 1.0" in metrics
    assert "polyhead_ready 1.0" in metrics


def test_draining_server_is_not_ready() -> None:
    """As its probe says, so do its metrics."""
    server = Server(FakeEngine(), load_settings())

    async def use(client: httpx.AsyncClient) -> str:
        server.service.drain()
        return (await client.get("/metrics")).text

    assert "polyhead_ready 0.0" in server.run(use)
