"""What a key may use, seen from outside."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from adapter_runtime import InvalidInput
from serving.errors import DeadlineExceeded
from serving.service import Answer, Call
from tests.tenancy.conftest import Guarded, Keys


def used(guarded: Guarded, key: str) -> dict[str, int]:
    """What a key has used of topic."""
    (found,) = guarded("GET", "/usage", key).json()["keys"]
    return found["tasks"]["topic"]  # type: ignore[no-any-return]


def test_tokens_are_settled_by_the_answer(keys: Keys) -> None:
    """An estimate counts until then: one long answer uses up what short texts seemed to leave."""
    keys.add("small", quota={"tokens_per_minute": 20})
    guarded = Guarded(keys)
    guarded.service.num_tokens = 40
    first, second = guarded.predict("small"), guarded.predict("small")
    assert (first.status_code, second.status_code) == (200, 429)
    assert 60 <= int(second.headers["retry-after"]) <= 64
    assert used(guarded, "small") == {"requests": 2, "refused": 1, "tokens": 40}


@pytest.mark.parametrize(
    ("error", "status"), ((InvalidInput("is wrong.", "inputs"), 200), (DeadlineExceeded(""), 429))
)
def test_what_fails_costs_nothing_and_what_is_given_up_does(
    keys: Keys, error: Exception, status: int
) -> None:
    """A client that never waits for its answers gets no more than one that does."""
    keys.add("small", quota={"tokens_per_minute": 20})
    guarded = Guarded(keys)
    guarded.service.raises = error
    text = {"inputs": "a" * 72}
    guarded("POST", "/models/topic", "small", json=text)
    guarded.service.raises = None
    assert guarded("POST", "/models/topic", "small", json=text).status_code == status


def test_requests_inside_are_counted_until_they_leave(keys: Keys) -> None:
    """By requests, not by the tasks that one of them asks."""
    keys.add("two", concurrency=2)
    guarded = Guarded(keys)
    gate = asyncio.Event()
    answer = guarded.service.answer

    async def slow(call: Call) -> Answer:
        await gate.wait()
        return replace(await answer(call))

    guarded.service.answer = slow  # type: ignore[method-assign]
    headers = {"x-api-key": keys.secrets["two"]}

    async def use(client: httpx.AsyncClient) -> list[int]:
        async def ask(path: str, body: object) -> int:
            return (await client.post(path, json=body, headers=headers)).status_code

        many = ask("/v1/analyze", {"inputs": "a", "tasks": ["topic", "new"]})
        one = {"inputs": "a"}
        inside = [asyncio.ensure_future(each) for each in (many, ask("/models/topic", one))]
        await asyncio.sleep(0.05)
        third = await ask("/models/topic", one)
        gate.set()
        return [third, *[await each for each in inside], await ask("/models/topic", one)]

    assert guarded.run(use) == [429, 200, 200, 200]


def test_client_that_leaves_makes_room(keys: Keys) -> None:
    """A cancelled request is inside no more."""
    keys.add("one", concurrency=1)
    guarded = Guarded(keys)
    headers = {"x-api-key": keys.secrets["one"]}
    answer = guarded.service.answer

    async def endless(call: Call) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    guarded.service.answer = endless  # type: ignore[method-assign]

    async def use(client: httpx.AsyncClient) -> int:
        ask = client.post("/models/topic", json={"inputs": "a"}, headers=headers)
        asking = asyncio.ensure_future(ask)
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait([asking])
        guarded.service.answer = answer  # type: ignore[method-assign]
        again = await client.post("/models/topic", json={"inputs": "a"}, headers=headers)
        return again.status_code

    assert guarded.run(use) == 200
