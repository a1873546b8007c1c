"""One write to the socket for each answer."""

from __future__ import annotations

import asyncio
from typing import Any

_MOST_WAITING = 64 << 10
"""Bytes that wait for the end of a turn; beyond, the transport must know, to slow the writer."""


class OneWrite:
    """A transport that sends what is written in one turn of the event loop at once.

    uvicorn writes an answer's head and its body, each a call to the system during which the
    interpreter's lock goes to another thread, and a client would be woken twice.

    Args:
        transport: the connection's own.
        loop: the event loop that it belongs to.

    Attributes:
        num_written: bytes that the connection's own was given.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = bytearray()
        self.num_written = 0

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting += data
        if len(self._waiting) > _MOST_WAITING:
            self._send()

    def close(self) -> None:
        """Send what was written, then close."""
        self._send()
        self._transport.close()

    def write_eof(self) -> None:
        """Send what was written, then say that no more comes."""
        self._send()
        self._transport.write_eof()

    def _send(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        if data and not self._transport.is_closing():  # else the client has gone meanwhile
            self.num_written += len(data)
            self._transport.write(data)
