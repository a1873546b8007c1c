"""What a request must show, and how it is told that it may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from serving.callers import ANYBODY, Caller, caller_var
from tests.tenancy.conftest import Guarded, Keys

Json = Any
OURS: Callable[[Json], bool] = lambda body: {"error", "code", "request_id"} <= set(body)  # noqa: E731
OIP: Callable[[Json], bool] = lambda body: set(body) == {"error"}  # noqa: E731
OPENAI: Callable[[Json], bool] = lambda body: {"message", "type", "code"} <= set(body["error"])  # noqa: E731
SHAPES = (
    ("GET", "/metrics", OURS),
    ("POST", "/models/topic", OURS),
    ("POST", "/v2/models/topic/infer", OIP),
    ("POST", "/v2/repository/models/topic/load", OIP),
    ("POST", "/v1/embeddings", OPENAI),
    ("GET", "/v1/models", OPENAI),
    ("GET", "/v1/nobody/knows", OURS),
)


@pytest.mark.parametrize(("method", "path", "is_shaped"), SHAPES)
def test_refusal_has_the_shape_of_its_protocol(
    guarded: Guarded, method: str, path: str, is_shaped: Callable[[Json], bool]
) -> None:
    """Clients of each read their own."""
    assert is_shaped(guarded(method, path).json())


@pytest.mark.parametrize("path", ("/models/topic", "/v2/models/topic/infer", "/v1/embeddings"))
def test_quota_is_told_in_the_shape_of_the_protocol(keys: Keys, path: str) -> None:
    """429 with the time to come again, whoever speaks."""
    keys.add("small", quota={"requests_per_minute": 1})
    guarded = Guarded(keys)
    body = {"model": "topic", "input": "a"}
    if path != "/v1/embeddings":
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
        body = {"inputs": [tensor] if path.startswith("/v2") else "a"}
    guarded.predict("small")
    answer = guarded("POST", path, "small", json=body)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == 60
    assert "quota" in answer.text


@pytest.mark.parametrize(
    "shown",
    (
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Basic {}")],
        [("authorization", "{}")],
        [("authorization", "Bearer {}x")],
        [("authorization", "Bearer x{}")],
        [("authorization", "Bearer {} {}")],
        [("authorization", "Bearer {}"), ("authorization", "Bearer other")],
        [("authorization", "Bearer {}"), ("x-api-key", "other")],
        [("authorization", "Basic abc"), ("x-api-key", "{}")],
        [("x-api-key", "Bearer {}")],
        [("cookie", "key={}")],
        [("x-api-key", "{upper}")],
        [("x-api-key", "\u00e9\u00ff")],
    ),
)
def test_what_is_not_one_right_key_is_none(
    guarded: Guarded, keys: Keys, shown: list[tuple[str, str]]
) -> None:
    """401, and nothing is asked."""
    secret = keys.secrets["all"]
    headers = [
        (name, value.replace("{upper}", secret.upper()).replace("{}", secret).encode("latin-1"))
        for name, value in shown
    ]

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/models/topic", json={"inputs": "a"}, headers=headers)

    assert guarded.run(use).status_code == 401
    assert guarded.service.calls == []


@pytest.mark.parametrize(
    "shown",
    (
        {"authorization": "Bearer {}"},
        {"Authorization": "bEARER   {} "},
        {"X-API-Key": "{}"},
        {"authorization": "Bearer {}", "x-api-key": "{}"},
    ),
)
def test_right_key_comes_in(guarded: Guarded, keys: Keys, shown: dict[str, str]) -> None:
    """By either header, or the same by both."""
    headers = {name: value.format(keys.secrets["predict"]) for name, value in shown.items()}
    assert (
        guarded("POST", "/models/topic", json={"inputs": "a"}, headers=headers).status_code == 200
    )


def test_key_in_the_query_is_none(guarded: Guarded, keys: Keys) -> None:
    """Addresses are kept in histories and logs."""
    for name in ("key", "api_key", "x-api-key", "access_token", "authorization"):
        assert guarded("GET", f"/tasks?{name}={keys.secrets['all']}").status_code == 401


@pytest.mark.parametrize(
    ("most", "asked", "got"),
    (
        ("high", None, 0),
        ("high", "high", 1),
        ("normal", "HIGH", 0),
        ("normal", "low", -1),
        ("low", None, -1),
        ("low", "normal", -1),
    ),
)
def test_call_carries_who_asks_and_how_urgently(
    keys: Keys, most: str, asked: str | None, got: int
) -> None:
    """The key's name, its weight and at most its priority."""
    keys.add("someone", priority=most, weight=2.5)
    guarded = Guarded(keys)
    guarded.predict("someone", headers={} if asked is None else {"x-priority": asked})
    (call,) = guarded.service.asked
    assert (call.caller, call.weight, call.priority) == ("someone", 2.5, got)


def test_priority_that_is_none_is_named(guarded: Guarded) -> None:
    """422, not a guess."""
    answer = guarded.predict("predict", headers={"x-priority": "urgent"})
    assert answer.status_code == 422
    assert "x-priority" in answer.text


def test_expired_key_is_refused(keys: Keys) -> None:
    """From its second on, also at a server that runs."""
    keys.add("old", expires="2020-01-01")
    assert Guarded(keys).predict("old").status_code == 401


def test_one_request_does_not_speak_for_the_next(guarded: Guarded) -> None:
    """A connection's second request may be served where the first one left its caller."""

    async def use(client: httpx.AsyncClient) -> Caller:
        caller_var.set(Caller("all"))
        await client.get("/metrics")
        return caller_var.get()

    assert guarded.run(use) == ANYBODY


def test_refusals_are_counted(guarded: Guarded) -> None:
    """By their codes, under no task's name."""
    guarded.predict("")
    guarded.predict("metrics")
    guarded.predict("new", "topic")
    shown = guarded("GET", "/metrics", "all").text
    assert 'polyhead_errors_total{code="unauthorized",task="-"} 1.0' in shown
    assert 'polyhead_errors_total{code="forbidden",task="-"} 2.0' in shown


def test_server_without_keys_asks_for_none(tmp_path: Any) -> None:
    """And has no usage to show."""
    from serving.app import create_app
    from serving.metrics import PrometheusRecorder
    from serving.settings import load_settings
    from tests.protocols.fake_service import FakeService

    app = create_app(FakeService(), load_settings(), PrometheusRecorder())

    async def main() -> list[int]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            return [(await client.get(path)).status_code for path in ("/tasks", "/usage")]

    assert asyncio.run(main()) == [200, 404]
