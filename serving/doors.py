"""Closing a listening socket without losing those who already stand in its queue."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import sys
from collections.abc import Iterable

_SO_ATTACH_FILTER = 26  # Linux; Python's socket module does not name it
_FLAGS, _SYN = 13, 0x02  # where TCP's flags lie, and the one that begins a connection
_DROP_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, _FLAGS),  # load the flags
        (0x45, 0, 1, _SYN),  # unless a connection begins, leave the next one out
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
)


def refuse_newcomers(listener: socket.socket) -> bool:
    """Let no new connection in, while those in the queue can still be accepted.

    Closing a listener resets every connection that waits in its queue, and under load some always
    do. A packet filter that drops what begins a connection makes that queue finite first: who is
    turned away tries again and is refused when the port is closed, before a request was sent.
    Handshakes under way go on: a client may hold its connection for made one packet earlier.

    Returns:
        Whether the system can do that; only Linux can.
    """
    if sys.platform != "linux":
        return False
    code = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    program = struct.pack("HL", len(_DROP_SYN) // 8, ctypes.addressof(code))
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
