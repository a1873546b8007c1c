"""Closing a listening socket without losing those who already stand in its queue."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import sys
from collections.abc import Iterable

_SO_ATTACH_FILTER = 26  # Linux; Python's socket module does not name it
_RETURN_ZERO = struct.pack("HBBI", 0x06, 0, 0, 0)  # one BPF instruction: keep 0 bytes


def refuse_newcomers(listener: socket.socket) -> bool:
    """Let no new connection in, while those in the queue can still be accepted.

    Closing a listener resets every connection that waits in its queue, and under load some always
    do. A packet filter that drops everything makes that queue finite first: who is turned away
    tries again and is refused when the port is closed, before a request was sent.

    Returns:
        Whether the system can do that; only Linux can.
    """
    if sys.platform != "linux":
        return False
    code = ctypes.create_string_buffer(_RETURN_ZERO)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False
    return True


def has_queue(listeners: Iterable[socket.socket]) -> bool:
    """Whether somebody stands in a queue who was not accepted yet: a loop may take one a round."""
    doors = select.poll()
    for listener in listeners:
        doors.register(listener, select.POLLIN)
    return bool(doors.poll(0))
