"""What Ray says of every answer, an application on it must not say a second time."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BY_RAY = b"x-request-id"


def behind_proxy(app: ASGIApp) -> ASGIApp:
    """The application without the headers that Ray adds, by its own proxy or with HAProxy."""

    async def once(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_rest(message: Message) -> None:
            if message["type"] == "http.response.start":
                rest = [each for each in message["headers"] if each[0].lower() != _BY_RAY]
                message = {**message, "headers": rest}
            await send(message)

        await app(scope, receive, send_rest)

    return once
