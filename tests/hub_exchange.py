"""How the hub on loopback talks, and how it fails."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Protocol


@dataclass
class Fault:
    """A way to fail, for the next `times` requests whose "METHOD /path file" contains `on`.

    Kinds: `status` answers `value`; `gone` hangs up; `stall` never answers; `slow` sends `value`
    bytes per second; `cut` hangs up after `value` bytes, `reset` rudely; `garble` changes a byte;
    `endless` goes on after the content; `size` adds `value` to the size in listings; `wait` answers
    429 with Retry-After `value`; `zip` says that the body is compressed; `odd` answers from `ODD`.
    """

    kind: str
    on: str = ""
    times: int = 1 << 30
    value: int = 0


@dataclass(frozen=True)
class Answer:
    """Status, headers, body, and the file that the body is."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    path: str = ""


class Speaker(Protocol):
    """What an exchange asks of the hub."""

    paths: list[str]
    authorized: list[tuple[str, bool]]
    contents: list[str]
    stopped: Any

    def answer(self, target: str, token: str | None) -> Answer: ...
    def take(self, kinds: tuple[str, ...], target: str) -> Fault | None: ...
    def command(self, path: str, body: Mapping[str, object]) -> bytes: ...


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    hub: ClassVar[Speaker]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        self.hub.paths.append(f"{self.command} {self.path}")
        self.hub.authorized.append((self.path, token is not None))
        answer = self.hub.answer(self.path, token)
        self.target = f"{self.command} {self.path} {answer.path}"
        if not self._fails():
            self._send(answer)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(Answer(200, {}, self.hub.command(self.path, body)))

    def _fails(self) -> bool:
        """Whether a fault took the answer's place."""
        fault = self.hub.take(("status", "gone", "stall", "wait", "odd"), self.target)
        if fault is None:
            return False
        if fault.kind == "status":
            self._send(Answer(fault.value, {}, b"{}"))
        elif fault.kind == "odd":
            self._send(Answer(200, {}, ODD[fault.value]))
        elif fault.kind == "wait":
            self._send(Answer(429, {"Retry-After": str(fault.value)}, b"{}"))
        else:
            self.hub.stopped.wait(60 if fault.kind == "stall" else 0)
            self.close_connection = True
        return True

    def _send(self, answer: Answer) -> None:
        body, status, headers = answer.body, answer.status, dict(answer.headers)
        asked = self.headers.get("Range", "")
        if status == 200 and asked.startswith("bytes="):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status, body = 206, body[start:]
        has_content = bool(answer.path) and self.command == "GET" and status in (200, 206)
        fault = self.hub.take(_BODIES, self.target) if has_content else None
        kind = fault.kind if fault else ""
        if kind == "endless":
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        if kind == "zip":
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if has_content:
            self.hub.contents.append(answer.path)
        if self.command != "HEAD":
            self._body(body, kind, fault.value if fault else 0)

    def _body(self, body: bytes, kind: str, value: int) -> None:
        try:
            if kind == "slow":
                step = max(1, value // 20)
                for start in range(0, len(body), step):
                    self.wfile.write(body[start : start + step])
                    if self.hub.stopped.wait(step / value):
                        break
            elif kind in ("cut", "reset"):
                self.wfile.write(body[:value])
                self.close_connection = True
                if kind == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    self.connection.close()
            elif kind == "endless":
                self._without_end(body)
            else:
                self.wfile.write(garbled(body) if kind == "garble" else body)
        except OSError:
            self.close_connection = True

    def _without_end(self, body: bytes) -> None:
        chunk = (body or b"x") * (1 + 4096 // max(1, len(body)))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not self.hub.stopped.is_set():
            self.wfile.write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


ODD = (b"", b"{}", b"[1]", b"[{}]", b'[{"type": "file"}]', b"<html>", b"null", b"\xff")
_AT_ONCE = struct.pack("ii", 1, 0)
_BODIES = ("slow", "cut", "reset", "garble", "endless", "zip")


def garbled(body: bytes) -> bytes:
    """The content with its last byte changed."""
    return body[:-1] + bytes([body[-1] ^ 1]) if body else body
