"""What running out of memory looks like."""

from __future__ import annotations

import errno

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
