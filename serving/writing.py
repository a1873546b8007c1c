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
        is_cut: give it long answers in parts, as TLS needs them.
        linger_s: how long a closed connection still takes what its client sends, in seconds.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = bytearray()
        self._is_ended = False
        self.num_written = 0
        self.linger_s = 0.0
        self.is_cut = False

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
        """Send what was written, then close; with `linger_s` in two steps.

        A client who still sends would be cut off, and lose what it had not read yet.
        """
        self._send()
        if not self.linger_s or not self._transport.can_write_eof() or self.is_closing():
            self._transport.close()
            return
        self._is_ended = True
        self._transport.write_eof()
        self._loop.call_later(self.linger_s, self._transport.abort)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._is_ended or self._transport.is_closing()

    def _send(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        if data and not self.is_closing():  # else the client has gone meanwhile
            self.num_written += len(data)
            # What TLS is given at once goes on at once, to where nobody sees that it waits.
            step = _MOST_WAITING if self.is_cut else len(data)
            for start in range(0, len(data), step):
                self._transport.write(data[start : start + step])
