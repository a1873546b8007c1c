"""One writer at a time in a folder, among all processes of the machine."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.errors import TaskFileError

LOCK = ".polyhead.lock"
_PAUSE_S = 0.01
_TAKEN = (errno.EAGAIN, errno.EACCES)


@contextmanager
def locked(folder: Path, timeout_s: float) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however the process ends.

    Raises:
        OSError: the lock's file cannot be made.
        TaskFileError: somebody holds it all that time.
    """
    until_s = time.monotonic() + timeout_s
    while (file := _take(folder / LOCK)) is None:
        if time.monotonic() > until_s:
            raise TaskFileError(
                f"{folder}: another process has been writing for {timeout_s:g} s; try again, and "
                f"if it hangs, end whoever holds {LOCK}."
            )
        time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        os.close(file)


def _take(path: Path) -> int | None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # another user's; locks all the same
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_ino == path.stat().st_ino:
            return file
    except FileNotFoundError:
        pass  # somebody removed it since it was opened: a lock that nobody else would see
    except OSError as error:
        if error.errno not in _TAKEN:
            os.close(file)
            raise
    os.close(file)
    return None
