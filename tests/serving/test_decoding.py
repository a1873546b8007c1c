"""On which threads texts are read and answers decoded, and whose are first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from adapter_runtime import Arrays, Encoded, TaskVersion
from serving.scheduler.chores import LONG_CHARS
from serving.settings import load_settings
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine


@dataclass
class Noting(FakeEngine):
    """Notes the thread of each encode and decode."""

    encoded_on: list[str] = field(default_factory=list)
    decoded_on: list[str] = field(default_factory=list)

    def encode(self, *given: Any) -> Encoded:
        """As the fake does."""
        self.encoded_on.append(threading.current_thread().name)
        return super().encode(*given)

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """As the fake does."""
        self.decoded_on.append(threading.current_thread().name)
        return super().decode(version, encoded, outcomes)


def _rooms_of(inputs: object) -> tuple[set[str], set[str]]:
    """The kinds of threads that encode and decode a request."""
    engine = Noting()
    response = Server(engine, load_settings()).post("/models/topic", json={"inputs": inputs})
    assert response.status_code == 200
    return _kinds(engine.encoded_on), _kinds(engine.decoded_on)


def _kinds(threads: Sequence[str]) -> set[str]:
    return {name.rpartition("-")[0] for name in threads}


def test_a_lone_answer_at_rest_wakes_no_worker() -> None:
    """It is decoded on the lane that ran it; text is never encoded on the event loop."""
    assert _rooms_of("one two") == ({"encode"}, {"compute"})


def test_answers_of_a_batch_are_decoded_beside_the_lanes() -> None:
    """The device is free for the next batch meanwhile."""
    assert _rooms_of(["one", "two"]) == ({"encode"}, {"encode"})


def test_a_flood_of_texts_that_take_long_to_read_holds_up_no_other_task() -> None:
    """Be they many or long: of two threads one at least reads for others in between."""

    class Slow(FakeEngine):
        """Reads one task's texts only when it may, and notes whose it has read."""

        may_read = threading.Semaphore(0)
        order: list[str] = []  # noqa: RUF012

        def encode(self, version: TaskVersion, inputs: Any, parameters: Any) -> Encoded:
            if version.task == "sentiment":
                assert self.may_read.acquire(timeout=30)
            self.order.append(version.task)
            return super().encode(version, inputs, parameters)

    engine = Slow()

    async def use(client: httpx.AsyncClient) -> None:
        text = "word " * (LONG_CHARS // 5)
        flood = [
            asyncio.create_task(client.post("/models/sentiment", json={"inputs": text}))
            for _ in range(20)
        ]
        while server.service._pipeline.num_chores < 19:
            await asyncio.sleep(0.01)
        light = await client.post("/models/topic", json={"inputs": "a b"})
        assert light.status_code == 200
        engine.may_read.release(20)
        assert {each.status_code for each in await asyncio.gather(*flood)} == {200}

    server = Server(engine, load_settings(encode_threads=2))
    server.run(use)
    assert engine.order == ["topic", *["sentiment"] * 20]
