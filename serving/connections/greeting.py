"""The handshake of TLS, within the bounds of connections: the event loop knows none of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from serving.connections.drops import Drop
from serving.connections.register import Connections


class Greeting(asyncio.Protocol):
    """Greets a client who has just come in, then leaves the connection to its protocol.

    It is one of the connections meanwhile, and as late as a head that does not come.

    Args:
        connections: all of them.
        context: the server's certificate, and whose it takes.
        make: the protocol that goes on.
        server_state: uvicorn's, which waits for those who are still greeted when it stops.
    """

    cycle = None  # uvicorn's word for a request: there is none yet
    num_unsent = 0
    waits_since_s = None

    def __init__(
        self,
        connections: Connections,
        context: ssl.SSLContext,
        make: Callable[..., Any],
        server_state: Any,
        **options: Any,
    ) -> None:
        self._connections, self._context = connections, context
        self._make: Callable[[], Any] = partial(make, server_state=server_state, **options)
        self._guests = server_state.connections
        self._received = bytearray()
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came in, who has not said anything yet."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._since_s = self._loop.time()
        if not self._connections.enter(self, self._loop):
            self._connections.end(self, Drop.FULL)
            return
        self._guests.add(self)
        self._task = self._loop.create_task(self._greet())
        self._loop.call_soon(self._loop.call_soon, self._hand_on)  # when the task listens

    def _hand_on(self) -> None:
        """Give the handshake what came before it listened; the loop reads at once."""
        listener = self._transport.get_protocol()
        if self._received and listener is not self:
            listener = cast(asyncio.BufferedProtocol, listener)
            received, self._received = self._received, bytearray()
            memoryview(listener.get_buffer(len(received)))[: len(received)] = received
            listener.buffer_updated(len(received))

    async def _greet(self) -> None:
        bounds = self._connections.bounds
        try:
            secret = await self._loop.start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=bounds.header_s * 2,  # the register gives up before
            )
        except OSError:  # theirs to know: no certificate of ours or of theirs, or they have left
            return
        finally:
            self._guests.discard(self)
            self._connections.leave(self, 0)
        if secret is None or self._is_lost or secret.is_closing():
            return
        protocol = self._make()
        secret.set_protocol(protocol)
        protocol.connection_made(secret)
        if self._received:
            protocol.data_received(bytes(self._received))

    def data_received(self, data: bytes) -> None:
        """Keep what came in the handshake's last packet."""
        self._received += data

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._is_lost = True

    def shutdown(self) -> None:
        """The server stops, and has waited long enough."""
        self._abort()

    # What the register asks

    def overdue(self, now_s: float) -> Drop | None:
        """Whether the handshake has lasted too long."""
        is_late = now_s - self._since_s >= self._connections.bounds.header_s
        return Drop.SLOW_HEADER if is_late else None

    def drop(self, reason: Drop) -> None:
        """End it; nothing can be said yet."""
        self._abort()

    def _abort(self) -> None:
        self._is_lost = True  # uvloop's handshake ends then as if it had been done
        self._transport.abort()
