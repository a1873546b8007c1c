"""Headers that Ray's proxy adds by itself."""

from __future__ import annotations

import httpx
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from deploy.ray_serve.proxied import behind_proxy


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    answer = PlainTextResponse("yes", headers={"x-request-id": "1", "x-task-version": "2"})
    await answer(scope, receive, send)


async def test_a_request_id_is_said_once() -> None:
    """By Ray; all else stays."""
    transport = httpx.ASGITransport(behind_proxy(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://ray") as client:
        found = (await client.get("/")).headers
    assert "x-request-id" not in found
    assert found["x-task-version"] == "2"
