"""One write to the socket for each answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_MOST_WAITING = 64 << 10
"""Bytes that wait for the end of a turn; beyond, the transport must know, to slow the writer."""


class OneWrite:
    """A transport that sends what is written in one turn of the event loop at once.

    uvicorn writes an answer's head and its body, each a call to the system during which the
    interpreter's lock goes to another thread, and a client would be woken twice.

    Args:
        transport: the connection's own.
        loop: the event loop that it belongs to.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = bytearray()

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

    def _send(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        if data and not self._transport.is_closing():  # else the client has gone meanwhile
            self._transport.write(data)


class OneWriteProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen at run time
    """uvicorn's protocol over such transports."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection."""
        own = OneWrite(transport, asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, own))
