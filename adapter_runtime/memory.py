"""Memory of the process: what running out of it looks like, and giving it back."""

from __future__ import annotations

import ctypes
import errno
import sys

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_WORDS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether host or device memory was too full: Python, torch and the system each say it so."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        words in str(error).casefold() for words in _WORDS
    )


def give_back() -> None:
    """Hand freed memory back to the system, where the C library keeps it. Takes about 1 ms."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):  # musl has none
        _LIBC.malloc_trim(0)
