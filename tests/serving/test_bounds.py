"""Work that nobody waits for ends soon, and rows are paid for before the next are made."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from adapter_runtime import Encoded, TaskVersion
from serving import local_service
from serving.workers import Workers
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine


class SlowEncoding(FakeEngine):
    """Takes its time for each item and counts them; `busy` items never end by themselves."""

    num_encoded = 0
    encode_s = 0.0
    hold = threading.Event()

    def encode(self, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]) -> Encoded:
        self.num_encoded += 1
        time.sleep(self.encode_s)
        if inputs == "busy":
            self.hold.wait(30)
        return super().encode(version, inputs, parameters)


@pytest.fixture
def engine() -> SlowEncoding:
    return SlowEncoding()


def test_workers_close_in_time_though_one_is_busy() -> None:
    """Its thread dies with the process; idle workers end at once."""
    hold, workers = threading.Event(), Workers(2)
    workers.do(lambda: hold.wait(30) and None)
    started_s = time.monotonic()
    assert not workers.close(0.1)
    assert time.monotonic() - started_s < 5
    hold.set()
    assert workers.close(5)


def test_an_input_that_is_encoded_for_long_holds_up_no_other(
    engine: SlowEncoding, server: Server
) -> None:
    """Of inputs that come at once, what one worker cannot take the others do."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        posts = [client.post("/models/topic", json={"inputs": text}) for text in ("busy", *"abcd")]
        busy, *others = map(asyncio.ensure_future, posts)
        answers = await asyncio.gather(*others)
        assert not busy.done()
        engine.hold.set()
        return [answer.status_code for answer in (await busy, *answers)]

    try:
        assert server.run(use) == [200] * 5
    finally:
        engine.hold.clear()


def test_encoding_stops_when_nobody_waits(engine: SlowEncoding, server: Server) -> None:
    """After the deadline no further item of a list is encoded."""
    engine.encode_s = 0.05
    response = server.post(
        "/models/topic", json={"inputs": ["a"] * 100}, headers={"x-deadline-ms": "200"}
    )
    assert response.status_code == 504
    assert engine.num_encoded < 50


def test_rows_are_counted_before_the_next_item_is_encoded(
    engine: SlowEncoding, make_server: Callable[..., Server]
) -> None:
    """A request that makes more rows than there are is refused at the first row too many."""
    inputs = ["\n".join("abcde")] * 100
    response = make_server(max_rows=120).post("/models/topic", json={"inputs": inputs})
    assert (response.status_code, response.json()["code"]) == (422, "too_long")
    assert engine.num_encoded < 10


def test_stopping_does_not_wait_for_a_busy_worker(
    engine: SlowEncoding, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The input is dropped, the process can end."""
    monkeypatch.setattr(local_service, "_CLOSE_S", 0.1)
    started_s = time.monotonic()
    response = server.post(
        "/models/topic", json={"inputs": "busy"}, headers={"x-deadline-ms": "100"}
    )
    assert response.status_code == 504
    assert time.monotonic() - started_s < 10
    engine.hold.set()
