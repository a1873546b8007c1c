"""One writer at a time in a folder of objects, as far as an object can lock."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from serving.catalog.objects import Objects
from serving.errors import TaskFileError

_PAUSE_S = 0.1


@contextmanager
def turn(objects: Objects, path: str, stale_s: float) -> Iterator[None]:
    """Hold a lock object; one that stays the same for a while was left by a killed process.

    Args:
        objects: the folder's store.
        path: of the lock object.
        stale_s: seconds after which an unchanged lock is broken; far more than a change takes.

    Raises:
        TaskFileError: others hold it all the time, or it cannot be written.
    """
    token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}".encode()
    _take(objects, path, token, stale_s)
    try:
        yield
    finally:
        with suppress(TaskFileError):
            if objects.look(path) == token:
                objects.remove(path)


def _take(objects: Objects, path: str, token: bytes, stale_s: float) -> None:
    seen, since_s = b"", time.monotonic()
    until_s = since_s + 4 * stale_s
    while time.monotonic() < until_s:
        objects.create(path, token)
        held = objects.look(path) or b""
        if held == token:
            return
        if held != seen:
            seen, since_s = held, time.monotonic()
        elif held and time.monotonic() - since_s > stale_s:
            objects.remove(path)
        time.sleep(min(_PAUSE_S, stale_s / 4))
    holder = seen.decode(errors="replace")
    raise TaskFileError(f"{objects.said}: {holder} keeps writing; try again, or remove {path}.")
