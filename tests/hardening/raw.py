"""Clients below HTTP: they send any bytes, slowly or never."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

ALIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"
"""The beginning of a request; an empty line ends it."""


class Answer(NamedTuple):
    """What came back; status 0 when the connection ended without one."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The stable code of an error."""
        code: str = json.loads(self.body)["code"]
        return code


NOTHING = Answer(0, b"", {})


def connect(port: int, receive_bytes: int = 0, timeout_s: float = 20.0) -> socket.socket:
    """A connection to a server on this machine.

    Args:
        port: its.
        receive_bytes: the most that the system takes for a client who does not read; 0: its choice.
        timeout_s: for each call.
    """
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.settimeout(timeout_s)
    client.connect(("127.0.0.1", port))
    return client


@contextmanager
def crowd(port: int, size: int, receive_bytes: int = 0) -> Iterator[list[socket.socket]]:
    """So many connections."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(port, receive_bytes)) for _ in range(size)]


def post(body: bytes, *headers: str, task: str = "topic", length: int | None = None) -> bytes:
    """A prediction as it goes over the wire; its length may be a lie."""
    size = len(body) if length is None else length
    lines = [f"POST /models/{task} HTTP/1.1", "Host: a", f"Content-Length: {size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*headers: str, task: str = "topic") -> bytes:
    """The head of a prediction whose body comes in chunks."""
    lines = [f"POST /models/{task} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def inputs(value: Any, **others: Any) -> bytes:
    """A body."""
    return json.dumps({"inputs": value, **others}).encode()


def read(client: socket.socket) -> Answer:
    """The next answer of a connection; bytes of later ones stay in it."""
    head = b""
    try:
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return NOTHING
            head += byte
        status, _, lines = head.decode().partition("\r\n")
        headers = dict(line.split(": ", 1) for line in lines.split("\r\n") if line)
        return Answer(int(status.split()[1]), _body(client, headers), headers)
    except OSError:
        return NOTHING


def _body(client: socket.socket, headers: dict[str, str]) -> bytes:
    """As long as the headers say, or less where the connection ends before."""
    parts, missing = [], int(headers.get("content-length", 0))
    with suppress(OSError):
        while missing and (part := client.recv(min(missing, 1 << 16))):
            parts.append(part)
            missing -= len(part)
    return b"".join(parts)


def ask(port: int, *parts: bytes) -> Answer:
    """The answer to one request on a connection of its own, sent in parts."""
    with connect(port) as client:
        with suppress(OSError):  # a server may refuse before it has read all
            for part in parts:
                client.sendall(part)
        return read(client)


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended a connection; waits for it as long as the timeout."""
    try:
        while client.recv(1 << 16):
            continue
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def until(holds: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether something comes true in time."""
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


class Site(NamedTuple):
    """A server in a process of its own."""

    port: int
    pid: int
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_well(self) -> bool:
        """Whether it answers another client rightly."""
        answer = ask(self.port, post(inputs("two words")))
        return answer.status == 200 and json.loads(answer.body)[0][0]["score"] == 2

    @property
    def num_bytes(self) -> int:
        """Its memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return 4096 * pages

    @property
    def metrics(self) -> str:
        """What it shows of itself."""
        return ask(self.port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body.decode()

    def drops(self, reason: str) -> int:
        """Connections that it has ended so far for a reason."""
        name = f'polyhead_dropped_connections_total{{reason="{reason}"}} '
        lines = [line for line in self.metrics.splitlines() if line.startswith(name)]
        return int(float(lines[0].rpartition(" ")[2])) if lines else 0
