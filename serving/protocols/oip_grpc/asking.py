"""One gRPC call as one request to the application, with its keys, limits, traces and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson
from starlette.types import ASGIApp, Message, Scope

from serving.admission.deadlines import HEADER as DEADLINE
from serving.protocols.oip_binary import LENGTH

Pairs = list[tuple[bytes, bytes]]
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    410: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    424: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_TOLD = ("x-", "retry-after", "server-timing")
_FROM_TRANSPORT = ("content-", "transfer-", "grpc-", "accept-encoding")
"""Metadata that would say something else of a request over HTTP."""
_BINARY = "-bin"


@dataclass(slots=True)
class Reply:
    """What the application answered.

    Args:
        status: of HTTP.
        headers: names in lower case.
        body: all of it.
    """

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def content(self) -> Any:
        """The JSON of the body."""
        length = self.headers.get(LENGTH)
        return orjson.loads(self.body if length is None else self.body[: int(length)])

    @property
    def attached(self) -> bytes:
        """What follows the JSON."""
        length = self.headers.get(LENGTH)
        return b"" if length is None else self.body[int(length) :]

    @property
    def told(self) -> Sequence[tuple[str, str]]:
        """Headers that clients of gRPC see too, as trailing metadata."""
        return [pair for pair in self.headers.items() if _is_told(*pair)]


class Asker:
    """Asks the application what clients ask over gRPC.

    Args:
        app: answers.
        place: host and port where the calls come in.
        scheme: `http` or `https`.
    """

    def __init__(self, app: ASGIApp, place: tuple[str, int], scheme: str) -> None:
        self._app = app
        self._place = place
        self._scheme = scheme

    async def ask(
        self, context: Any, method: str, path: str, body: bytes = b"", length: int | None = None
    ) -> Reply:
        """The application's answer; its request id and times go into the trailing metadata.

        Args:
            context: of the call: its metadata, and how long its client waits.
            method, path: of the request.
            body: of it.
            length: bytes of the body that are JSON, if others follow.
        """
        headers = _headers(context)
        if length is not None:
            headers.append((LENGTH.encode(), str(length).encode()))
        is_read = asyncio.Event()
        reply = Reply()

        async def receive() -> Message:
            if is_read.is_set():  # who leaves cancels the whole call instead
                await asyncio.get_running_loop().create_future()
            is_read.set()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {
                    name.decode(): each.decode("latin-1") for name, each in message["headers"]
                }
            else:
                reply.body += message.get("body", b"")

        await self._app(self._scope(method, path, headers), receive, send)
        context.set_trailing_metadata(reply.told)
        return reply

    async def content(self, context: Any, method: str, path: str, body: bytes = b"") -> Any:
        """The answer's JSON; a refusal ends the call."""
        reply = await self.ask(context, method, path, body)
        return (await accepted(reply, context)).content

    def _scope(self, method: str, path: str, headers: Pairs) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "2",
            "method": method,
            "scheme": self._scheme,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "server": self._place,
            "client": None,
        }


async def accepted(reply: Reply, context: Any) -> Reply:
    """The reply, unless it refuses: then the call ends with its message and a status of gRPC."""
    if reply.status == 200:
        return reply
    code = _CODES.get(reply.status, grpc.StatusCode.INTERNAL)
    error = reply.content.get("error", "")
    message = error.get("message", "") if isinstance(error, dict) else error
    await context.abort(code, message)
    raise AssertionError("A call went on after its end. This is a bug.")


def _is_told(name: str, value: str) -> bool:
    return name.startswith(_TOLD) and value.isascii()


def _headers(context: Any) -> Pairs:
    """Metadata as headers, with the client's patience where it states no other deadline."""
    found = []
    for name, value in context.invocation_metadata() or ():
        if not name.startswith((*_FROM_TRANSPORT, ":")) and not name.endswith(_BINARY):
            found.append((name.encode(), value.encode("latin-1", "replace")))
    left_s = context.time_remaining()
    if left_s is not None and all(name != DEADLINE.encode() for name, _ in found):
        found.append((DEADLINE.encode(), str(max(1, int(1000 * left_s))).encode()))
    return found
