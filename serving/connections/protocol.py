"""uvicorn's HTTP protocol for clients that are slow, greedy or wrong."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.connections.drops import Drop, Pace, last_words
from serving.connections.register import Connections
from serving.writing import OneWrite

_GOODBYE_S = 0.5
_MOST_HEADERS = 100
_MOST_WAITING = 16
"""Requests that a client may send before it has read the answer to the first."""
_CHUNK_BYTES = 16
"""What surrounds one chunk of a body."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class _Refused(Exception):
    """Ends the parser's work from within."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection within bounds; uvicorn itself knows one only, for the time between requests.

    Args:
        connections: all of them, this one among them.
        options: uvicorn's.
    """

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        self._bounds = connections.bounds
        self._body_pace, self._answer_pace = Pace(self._bounds), Pace(self._bounds)
        self._since_s = self.loop.time()
        self._has_asked = self._in_message = self._is_plain = self._is_over = False
        self._reason: Drop | None = None
        self._num_head = self._num_message = self._num_body = self._num_parts = self._num_held = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or say that there are too many."""
        self._written = OneWrite(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._written))
        self._written.is_cut = self.scheme == "https"
        if not self._connections.enter(self, self.loop):
            self._written.write(last_words(Drop.FULL))
            self._connections.end(self, Drop.FULL)

    def shutdown(self) -> None:
        """End an idle connection; under TLS its client need not say goodbye first."""
        super().shutdown()
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        is_idle = cycle is None or cycle.response_complete
        if is_idle and self.transport.get_extra_info("ssl_object") is not None:
            self.loop.call_later(_GOODBYE_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._connections.leave(self, self._num_held)
        self._num_held = 0
        self._is_over = True
        self._unset_keepalive_if_required()  # uvicorn keeps it for a client that was cut off
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        if self._in_message:
            self._num_message += len(data)
        else:
            if not self._num_head:
                self._since_s = self.loop.time()
            self._num_head += len(data)
        self._num_held += len(data)
        self._connections.hold(len(data))
        self._feed(data)
        if self._in_message and not self._is_over:
            self._connections.uploads(self)
        self._check_what_is_left()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._connections.end(self, self._reason or Drop.BAD_REQUEST)

    def _stay(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 after a request that offers another protocol, such as Java's clients'.

        The parser leaves its body out. It is shown a head of the same body, and reads that.
        """
        framing = [pair for pair in self.scope["headers"] if pair[0] in _FRAMING]
        if not framing:
            self._completed()
        else:
            lines = [b"POST / HTTP/1.1", *(b": ".join(pair) for pair in framing), b"", b""]
            self._is_plain = True
            self._feed(b"\r\n".join(lines))
        if rest and not self._is_over:
            self._feed(rest)

    def _check_what_is_left(self) -> None:
        """A head that is not whole yet, or what surrounds a body, must not grow for ever."""
        if self._is_over:
            return
        most = self._bounds.header_bytes
        if self._in_message:
            around = self._num_message - self._num_body
            is_large = around > most + _CHUNK_BYTES * self._num_parts
        else:
            is_large = self._num_head > most
        if is_large or len(self.headers or ()) > _MOST_HEADERS:
            self._connections.end(self, Drop.LARGE_HEADER)

    # What the parser finds

    def on_headers_complete(self) -> None:
        """A head is there."""
        if self._is_plain:  # the second one of the same request
            self._is_plain = False
            return
        self._reason = self._fault()
        if self._reason is not None:
            raise _Refused(self._reason)
        super().on_headers_complete()
        self.headers = []  # a body's trailers are no headers of its request
        self._has_asked = self._in_message = True
        self._num_head = self._num_message = self._num_body = self._num_parts = 0

    def _fault(self) -> Drop | None:
        if len(self.pipeline) >= _MOST_WAITING:
            return Drop.PIPELINED
        if len(self.headers) > _MOST_HEADERS:
            return Drop.LARGE_HEADER
        if self._num_head > self._bounds.header_bytes:  # with what came in the same packet
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._bounds.header_bytes:
                return Drop.LARGE_HEADER
        num_hosts = sum(name == b"host" for name, _ in self.headers)
        if num_hosts > 1 or (not num_hosts and self.parser.get_http_version() == "1.1"):
            return Drop.BAD_REQUEST  # who is asked would depend on who reads it
        return None

    def on_body(self, body: bytes) -> None:
        """A part of a body is there."""
        self._num_body += len(body)
        self._num_parts += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is there, whole."""
        if not self.parser.should_upgrade():
            self._completed()

    def _completed(self) -> None:
        self._in_message = False
        self._body_pace.stop()
        self._connections.uploaded(self)
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()
            return
        self._release()  # of a body that nobody wanted
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def on_response_complete(self) -> None:
        """An answer was given."""
        super().on_response_complete()
        self._release()

    def _release(self) -> None:
        """What was received is done with; from now on the client is waited for."""
        self._since_s = self.loop.time()
        self._connections.release(self._num_held)
        self._num_held = 0

    # What the register asks

    @property
    def num_unsent(self) -> int:
        """Bytes of answers that the client has not read."""
        size: int = self._written.get_write_buffer_size()
        return size

    @property
    def waits_since_s(self) -> float | None:
        """Since when nothing but the next request is waited for."""
        is_busy = self._in_message or not self._is_answered or self._is_over or self.num_unsent
        return None if is_busy else self._since_s

    @property
    def _is_answered(self) -> bool:
        return not self._has_asked or self.cycle.response_complete

    def overdue(self, now_s: float) -> Drop | None:
        """Why the connection has lasted too long, if it has."""
        num_unsent = self.num_unsent
        if not num_unsent:
            self._answer_pace.stop()
        elif self._answer_pace.is_slow(now_s, self._written.num_written - num_unsent):
            return Drop.SLOW_READER
        if self._is_over:
            return None
        if self._in_message:
            return self._overdue_body(now_s)
        is_awaited = self._is_answered and (self._num_head or not self._has_asked)
        is_late = is_awaited and now_s - self._since_s >= self._bounds.header_s
        return Drop.SLOW_HEADER if is_late else None

    def _overdue_body(self, now_s: float) -> Drop | None:
        if self._is_answered:
            return Drop.UNWANTED_BODY if now_s - self._since_s >= self._bounds.linger_s else None
        if self.flow.read_paused:
            self._body_pace.stop()
        elif self._body_pace.is_slow(now_s, self._num_body):
            return Drop.SLOW_BODY
        return None

    def drop(self, reason: Drop) -> None:
        """End the connection; who is owed an answer to an earlier request still gets it."""
        self._is_over = True
        if reason is Drop.SLOW_READER or (reason is Drop.NO_MEMORY and self.num_unsent):
            self._written.abort()
            return
        if reason is not Drop.NO_MEMORY:
            self._written.linger_s = self._bounds.linger_s
            self.flow.resume_reading()
        if not self._is_answered and not self._in_message:
            self.cycle.keep_alive = False
            return
        if self._is_listening:
            self._written.write(last_words(reason))
        self._written.close()

    @property
    def _is_listening(self) -> bool:
        """Whether the client has asked for something, and was told nothing yet."""
        if self._is_answered:
            return bool(self._num_head)
        return not self.pipeline and not self.cycle.response_started

    def pause_writing(self) -> None:
        """The client has much to read."""
        super().pause_writing()
        self._connections.writes(self, self.loop.time())

    def resume_writing(self) -> None:
        """The client has read most of it."""
        super().resume_writing()
        self._connections.wrote(self)
