"""What all protocols share: bodies within limits, JSON answers, our errors, request ids."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
import time
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapter_runtime import InvalidInput, Note
from serving.errors import BodyTooLarge, CompressedBody, Draining, Refusal, Unauthorized, refusal
from serving.logs import request_id_var
from serving.visits import Visit, visit_var

log = logging.getLogger(__name__)
REQUEST_ID = "x-request-id"
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_JSON = "application/json"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Any of our values as JSON; dataclasses become objects with their fields."""
    body = orjson.dumps(content, option=_OPTIONS)
    return Response(body, status, headers, media_type=_JSON)


def error_response(error: BaseException) -> Response:
    """An error as a client sees it."""
    return refusal_response(refusal(error))


def refusal_response(refused: Refusal, facts: Mapping[str, Any] | None = None) -> Response:
    """A refusal in our own shape, with Retry-After where another try may succeed.

    Args:
        refused: what the client is told.
        facts: what is known beside it.
    """
    content = {**(facts or {}), **refusal_content(refused)}
    return json_response(content, refused.status, refusal_headers(refused))


def refusal_content(refused: Refusal) -> dict[str, Any]:
    """A refusal as an object of our own shape."""
    content: dict[str, Any] = {
        "error": refused.message,
        "code": refused.code,
        "request_id": request_id_var.get(),
    }
    if refused.retry_after_s is not None:
        content["estimated_time"] = refused.retry_after_s
    if refused.reasons:
        content["reasons"] = notes(refused.reasons)
    return content


def refusal_headers(refused: Refusal) -> dict[str, str]:
    """When another try may succeed, and whether it needs another connection."""
    headers = {}
    if refused.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(refused.retry_after_s)))
    if refused.code == Unauthorized.code:
        headers["www-authenticate"] = "Bearer"
    if refused.code == Draining.code:
        headers["connection"] = "close"  # the next try must reach another server
    return headers


def notes(reasons: Iterable[Note]) -> list[dict[str, str]]:
    """Reasons as JSON."""
    return [reason._asdict() for reason in reasons]


async def read_body(
    request: Request, max_bytes: int, remedy: str = "send fewer or shorter inputs"
) -> bytes:
    """The whole body; stops reading as soon as it is too large.

    Args:
        request: whose body.
        max_bytes: the most that is taken.
        remedy: what to do about a larger one.

    Raises:
        BodyTooLarge: it has more bytes than allowed.
        CompressedBody: it says so.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() not in ("", "identity"):  # a short one may stand for any length
        raise CompressedBody("The body is compressed; send it as it is, without content-encoding.")
    too_large = BodyTooLarge(f"The body is larger than {max_bytes} bytes; {remedy}.")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def read_object(body: bytes, example: str = '{"inputs": "some text"}') -> dict[str, Any]:
    """The body as a JSON object.

    Args:
        body: all of it.
        example: a right one, for messages.

    Raises:
        InvalidInput: it is empty, not UTF-8, not JSON or no object.
    """
    if not body.strip():
        raise InvalidInput(f"is empty; send a JSON object such as {example}.", "body")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"is not valid JSON in UTF-8: {error}.", "body") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"must be a JSON object such as {example}.", "body")
    return content


class RequestIds:
    """Gives each request an id, answers what nothing else caught, and logs accesses if asked to.

    Args:
        app: the application inside.
        logs_access: write one line per request.
    """

    def __init__(self, app: ASGIApp, logs_access: bool = False) -> None:
        self._app = app
        self._logs_access = logs_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id_var.set(request_id(Headers(scope=scope).get(REQUEST_ID)))
        if self._logs_access:
            visit_var.set(Visit())
        seen = _Seen(send, scope, request_id_var.get())
        try:
            await self._app(scope, receive, seen.send)
        except asyncio.CancelledError:
            # Out of patience while stopping: the request still ends in an answer with a code.
            if seen.status:
                raise
            stopped = Draining("The server stopped before the answer was ready.", 1.0)
            await error_response(stopped)(scope, receive, seen.send)
        except Exception as error:
            log.exception("%s %r failed", scope["method"], scope["path"])
            if seen.is_whole:  # the framework answers, and raises all the same
                return
            if seen.status:
                raise
            await error_response(error)(scope, receive, seen.send)
        finally:
            if self._logs_access:
                log.info("%s %r", scope["method"], scope["path"], extra=seen.facts())


class _Seen:
    """A send that adds the request id and the time so far, and remembers the status."""

    def __init__(self, send: Send, scope: MutableMapping[str, Any], name: str) -> None:
        self._send = send
        self._name = name
        self._started_s = time.perf_counter()
        self.status = 0
        self.is_whole = False

    async def send(self, message: Message) -> None:
        """Send a message on, and remember what it says."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._name
            headers.append("x-total-time", f"{self.took_ms:.1f}")
        await self._send(message)
        is_body = message["type"] == "http.response.body"
        self.is_whole = is_body and not message.get("more_body", False)

    @property
    def took_ms(self) -> float:
        return 1000 * (time.perf_counter() - self._started_s)

    def facts(self) -> dict[str, Any]:
        visit = visit_var.get()
        told = {"status": self.status, "took_ms": round(self.took_ms, 2)}
        return told if visit is None else told | visit.facts()


def request_id(given: str | None) -> str:
    """The client's id when it is short and printable, else a new one."""
    if given and _SANE_ID.fullmatch(given):
        return given
    # No secret; asking the system would give up the interpreter's lock beside busy threads.
    return f"{random.getrandbits(96):024x}"
