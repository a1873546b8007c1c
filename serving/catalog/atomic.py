"""Whole files or nothing: what is written survives a crash at any instruction."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from serving.errors import TaskFileError

_LEFTOVER = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_REMEDIES = {
    errno.ENOSPC: "free some space on the disk",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EROFS: "mount it writable, or change the files where they come from",
    errno.EACCES: "let this process write there",
    errno.EPERM: "let this process write there",
}


def replace_file(target: Path, data: bytes) -> None:
    """Write a file such that everyone sees the old one or the new one, whatever happens. Blocks.

    Raises:
        OSError: it could not be written; the old one is untouched.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        _write(temporary, data, target)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _settle(target.parent)


def remove_file(target: Path) -> None:
    """Remove a file for good. Blocks.

    Raises:
        OSError: it is still there.
    """
    target.unlink(missing_ok=True)
    _settle(target.parent)


def clear_leftovers(folder: Path) -> None:
    """Remove what killed writers left behind; only for who holds the folder's lock."""
    for path in folder.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def write_failure(place: Path | str, error: OSError) -> TaskFileError:
    """The error of a write, as a sentence with a remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "see that the folder can be written")
    why = error.strerror or str(error)
    return TaskFileError(f"{place}: not written, nothing has changed: {why}; {remedy}.")


def _write(path: Path, data: bytes, like: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        with suppress(OSError):
            os.fchmod(descriptor, like.stat().st_mode & 0o777)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _settle(folder: Path) -> None:
    """Bring the folder's entries to the disk, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
