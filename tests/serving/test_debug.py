"""`/debug/batches`: what the device has just done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from serving.service import Call
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

TEXTS = ("a b c", "a b", "a")


def ask(server: Server, *tasks: str, last: str = "") -> httpx.Response:
    """The route's answer after one request for each task, one after the other."""

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        for task in tasks:
            await client.post(f"/models/{task}", json={"inputs": list(TEXTS)})
        return await client.get(f"/debug/batches{last}")

    response: httpx.Response = server.run(use)
    return response


def test_batches_are_told_with_rows_tasks_tokens_and_times(server: Server) -> None:
    """Everything that the device knows of one, in base units."""
    (batch,) = ask(server, "topic").json()["batches"]
    assert (batch["rows"], batch["tokens"], batch["padding_avoided"]) == (3, 6, 3)
    assert (batch["tasks"], batch["num_tasks"], batch["num_adapters"]) == (["topic"], 1, 1)
    assert (batch["lane"], batch["error"], batch["load_s"]) == ("compute-0", None, 0)
    assert batch["compute_s"] > 0
    assert batch["waited_s"] >= 0
    assert batch["time"] > 1.7e9
    assert len(batch["id"]) == 32


def test_the_newest_come_first_and_no_more_than_asked(server: Server) -> None:
    """`last` is a limit."""
    tasks = ("topic", "embed", "sentiment")
    found = ask(server, *tasks, last="?last=2").json()["batches"]
    assert [batch["tasks"] for batch in found] == [["sentiment"], ["embed"]]


def test_more_than_there_are_is_no_error(server: Server) -> None:
    """All there are."""
    assert len(ask(server, "topic", "embed", last="?last=999999").json()["batches"]) == 2


def test_no_more_are_kept_than_set(make_server: Callable[..., Server]) -> None:
    """The oldest makes room: memory stays as it is."""
    answer = ask(make_server(keep_batches=2), "topic", "embed", "topic").json()
    assert [batch["tasks"] for batch in answer["batches"]] == [["topic"], ["embed"]]
    assert answer["kept"] == 2


@pytest.mark.parametrize("last", ("0", "-1", "x", "", "1.5", "9999999"))
def test_wrong_number_is_refused(last: str, server: Server) -> None:
    """With what is right."""
    answer = ask(server, last=f"?last={last}")
    assert answer.status_code == 422
    assert "whole number" in answer.json()["error"]


def test_a_batch_that_failed_says_how(server: Server, engine: FakeEngine) -> None:
    """Here the device itself, which a row of the bare backbone cannot use either."""
    engine.fails = ZeroDivisionError("surprise")
    (batch, *_) = ask(server, "topic").json()["batches"]
    assert batch["error"] == "DeviceFailed"
    assert batch["rows"] == 3


def test_an_answer_knows_its_batches(server: Server) -> None:
    """Each once, with times that follow one another."""

    async def use(_: httpx.AsyncClient) -> Any:
        return await server.service.answer(Call("topic", TEXTS))

    answer = server.run(use)
    (batch,) = answer.course.batches
    course = answer.course
    assert course.began_s <= course.queued_s <= batch.began_s <= batch.ended_s
    assert batch.began_s <= course.ended_s
    assert course.loaded_s == 0
    assert answer.timing.decode_s > 0


def test_a_cold_answer_knows_when_its_weights_came(server: Server, engine: FakeEngine) -> None:
    """In the time that its rows waited."""
    engine.cold, engine.load_s = {"topic"}, 0.02

    async def use(client: httpx.AsyncClient) -> Any:
        return await asyncio.wait_for(server.service.answer(Call("topic", TEXTS)), 10)

    answer = server.run(use)
    assert answer.timing.load_s >= 0.02
    assert answer.course.queued_s <= answer.course.loaded_s <= answer.course.ended_s
