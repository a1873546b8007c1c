"""One write to the socket for each answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol


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
        self._waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._waiting:
            data, self._waiting = b"".join(self._waiting), []
            self._transport.write(data)


class OneWriteProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen at run time
    """uvicorn's protocol over such transports."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection."""
        own = OneWrite(transport, asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, own))
