"""Task files on this machine."""

from __future__ import annotations

from pathlib import Path

from serving.catalog.found import Found, read_found, unreadable
from serving.catalog.text import MAX_BYTES
from serving.errors import TaskFileError


def read_file(path: Path, base: Path) -> Found | None:
    """The task of one file, a broken one with its reason; None where the file is gone. Blocks."""
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        return None
    except TaskFileError as error:
        return unreadable(path.stem, str(path), error)
    return read_found(data, path.stem, str(path), base)


def read_bytes(path: Path) -> bytes:
    """A whole task file. Blocks.

    Raises:
        FileNotFoundError: there is none.
        TaskFileError: it cannot be read, or is too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise TaskFileError(f"{path}: not a regular file.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TaskFileError(f"{path}: not readable: {error.strerror or error}.") from error
    if len(data) > MAX_BYTES:
        raise TaskFileError(f"{path}: larger than {MAX_BYTES} bytes; use a folder of task files.")
    return data
