"""Closing a listening socket without losing those who already stand in its queue."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterable

_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73  # Linux; Python's socket module does not name them
_MOST_HOPS = 255


def refuse_newcomers(listener: socket.socket) -> bool:
    """Let no new connection in, while those in the queue can still be accepted.

    Closing a listener resets every connection that waits in its queue, and under load some always
    do. A listener that wants more hops left than packets begin with makes that queue finite first:
    who is turned away tries again and is refused when the port is closed, before a request was
    sent. Handshakes under way go on, and so do the connections that were made before. A packet
    filter would do the same, but some systems refuse it to whoever is not root.

    Returns:
        Whether the system can do that; only Linux can.
    """
    if sys.platform != "linux":
        return False
    try:
        # Both kinds of packets reach a listener that takes both.
        listener.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, _MOST_HOPS)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, _MOST_HOPS)
    except OSError:
        return False
    return True


def has_queue(listeners: Iterable[socket.socket]) -> bool:
    """Whether somebody stands in a queue who was not accepted yet: a loop may take one a round."""
    doors = select.poll()
    for listener in listeners:
        doors.register(listener, select.POLLIN)
    return bool(doors.poll(0))
