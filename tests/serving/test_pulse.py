"""The liveness probe tells a device that computes from one that does not, and costs little."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from serving import pulse
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

LIVE = "/health/live"


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No forward grows old while a busy machine runs a test."""
    monkeypatch.setattr(pulse, "_FRESH_S", 600.0)


def test_an_idle_device_is_tried(server: Server, engine: FakeEngine) -> None:
    """Once: a forward that has just ended says enough."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get(LIVE)).status_code for _ in range(3)]

    assert server.run(use) == [200] * 3
    assert [len(batch) for batch in engine.batches] == [1]


def test_a_device_that_fails_is_not_live(
    server: Server, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a restart can help, and the log has the reason."""
    engine.fails = RuntimeError("an illegal memory access")
    response = server.get(LIVE)
    assert (response.status_code, response.json()["code"]) == (503, "device_failed")
    assert int(response.headers["retry-after"]) >= 1
    assert "an illegal memory access" in caplog.text
    assert "illegal" not in response.text


def test_a_device_that_hangs_is_not_live(
    server: Server, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has to say so before the probe's own patience ends."""
    monkeypatch.setattr(pulse, "_PATIENCE_S", 0.05)
    engine.gate = threading.Event()

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        response = await client.get(LIVE)
        engine.gate.set()
        return response

    assert server.run(use).json()["code"] == "device_failed"


def test_a_device_that_is_well_again_is_live_again(server: Server, engine: FakeEngine) -> None:
    """A verdict is not kept."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        engine.fails = RuntimeError("a hiccup")
        first = await client.get(LIVE)
        engine.fails = None
        return [first.status_code, (await client.get(LIVE)).status_code]

    assert server.run(use) == [503, 200]


def test_a_busy_server_runs_no_row_for_its_probe(server: Server, engine: FakeEngine) -> None:
    """Its requests show that the device computes."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        asked = await client.post("/models/topic", json={"inputs": "a b"})
        return [asked.status_code, *[(await client.get(LIVE)).status_code for _ in range(5)]]

    assert server.run(use) == [200] * 6
    assert [item.version.task for batch in engine.batches for item in batch] == ["topic"]


def test_probes_that_wait_share_one_row(server: Server, engine: FakeEngine) -> None:
    """However many ask a device that is slow to answer."""
    gate = engine.gate = threading.Event()

    async def use(client: httpx.AsyncClient) -> list[int]:
        probes = [asyncio.ensure_future(client.get(LIVE)) for _ in range(5)]
        while not engine.batches:
            await asyncio.sleep(0.01)
        gate.set()
        return [(await probe).status_code for probe in probes]

    assert server.run(use) == [200] * 5
    assert [len(batch) for batch in engine.batches] == [1]


def test_a_probe_that_leaves_spoils_no_other(server: Server, engine: FakeEngine) -> None:
    """The row that both wait for runs on."""
    gate = engine.gate = threading.Event()

    async def use(client: httpx.AsyncClient) -> int:
        leaving, staying = (asyncio.ensure_future(server.service.check()) for _ in range(2))
        while not engine.batches:
            await asyncio.sleep(0.01)
        leaving.cancel()
        gate.set()
        await staying
        return (await client.get(LIVE)).status_code

    assert server.run(use) == 200
    assert len(engine.batches) == 1
