"""What Ray's proxy says of every answer, an application behind it must not say a second time."""

from __future__ import annotations

import os

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BY_PROXY = b"x-request-id"
_WITHOUT = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_ENABLE_DIRECT_INGRESS")
"""With either, requests do not come through Ray's own proxy."""


def behind_proxy(app: ASGIApp) -> ASGIApp:
    """The application without the headers that the proxy adds: a client would read them as two."""
    if any(os.environ.get(name) == "1" for name in _WITHOUT):
        return app

    async def once(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_rest(message: Message) -> None:
            if message["type"] == "http.response.start":
                rest = [each for each in message["headers"] if each[0].lower() != _BY_PROXY]
                message = {**message, "headers": rest}
            await send(message)

        await app(scope, receive, send_rest)

    return once
