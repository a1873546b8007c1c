"""Headers that Ray's proxy adds by itself."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from deploy.ray_serve.proxied import behind_proxy


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    answer = PlainTextResponse("yes", headers={"x-request-id": "1", "x-task-version": "2"})
    await answer(scope, receive, send)


async def headers() -> httpx.Headers:
    transport = httpx.ASGITransport(behind_proxy(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://ray") as client:
        return (await client.get("/")).headers


async def test_a_request_id_is_said_once() -> None:
    """By the proxy; all else stays."""
    found = await headers()
    assert "x-request-id" not in found
    assert found["x-task-version"] == "2"


@pytest.mark.parametrize("mode", ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_ENABLE_DIRECT_INGRESS"))
async def test_where_no_proxy_says_it_the_application_does(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HAProxy passes requests on to replicas without a word."""
    monkeypatch.setenv(mode, "1")
    assert (await headers())["x-request-id"] == "1"
