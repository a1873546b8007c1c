"""Why the server ends a connection, what it says then, and when a transfer is too slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from serving.connections.bounds import Bounds
from serving.errors import BodyTooLarge, Refusal, ServerBusy
from serving.protocols.wire import REQUEST_ID, refusal_headers, request_id

_PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_BUSY_S = 1.0


class Drop(StrEnum):
    """Why a connection was ended by the server."""

    SLOW_HEADER = "slow_header"
    SLOW_BODY = "slow_body"
    SLOW_READER = "slow_reader"
    UNWANTED_BODY = "unwanted_body"
    LARGE_HEADER = "large_header"
    BAD_REQUEST = "bad_request"
    PIPELINED = "pipelined"
    FULL = "full"
    NO_MEMORY = "no_memory"


_REFUSALS = {
    Drop.SLOW_HEADER: (408, "request_timeout", "The head of the request came too slowly."),
    Drop.SLOW_BODY: (408, "request_timeout", "The body came too slowly; send less at once."),
    Drop.LARGE_HEADER: (
        431,
        BodyTooLarge.code,
        "The head of the request is too long; send fewer or shorter headers.",
    ),
    Drop.BAD_REQUEST: (400, "bad_request", "This is no valid HTTP/1.1 request."),
    Drop.FULL: (503, ServerBusy.code, "There are too many connections; try again soon."),
    Drop.NO_MEMORY: (503, ServerBusy.code, "There are too many bodies at once; try again soon."),
}


def last_words(reason: Drop) -> bytes:
    """An answer that ends its connection; empty where nobody would read one."""
    if reason not in _REFUSALS:
        return b""
    status, code, message = _REFUSALS[reason]
    refused = Refusal(status, code, message, _BUSY_S if status == 503 else None)
    name = request_id(None)
    content = orjson.dumps({"error": message, "code": code, "request_id": name})
    headers = {
        **refusal_headers(refused),
        REQUEST_ID: name,
        "content-type": "application/json",
        "content-length": str(len(content)),
        "connection": "close",
    }
    lines = [f"HTTP/1.1 {status} {_PHRASES[status]}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(slots=True)
class Pace:
    """Whether a transfer goes on fast enough, over one window of time after the other.

    Args:
        bounds: name the pace and the window.
    """

    bounds: Bounds
    _since_s: float | None = field(default=None, init=False)
    _at: int = field(default=0, init=False)

    def stop(self) -> None:
        """Nothing is transferred, or it is not the client who is waited for."""
        self._since_s = None

    def is_slow(self, now_s: float, num_bytes: int) -> bool:
        """Whether a whole window has brought too little.

        Args:
            now_s: the time.
            num_bytes: transferred until now.
        """
        if self._since_s is None:
            self._since_s, self._at = now_s, num_bytes
            return False
        took_s = now_s - self._since_s
        if took_s < self.bounds.transfer_s:
            return False
        is_slow = num_bytes - self._at < self.bounds.bytes_per_s * took_s
        self._since_s, self._at = now_s, num_bytes
        return is_slow
