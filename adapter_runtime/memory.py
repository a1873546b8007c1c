"""Memory of the process: what running out of it looks like, and giving it back."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h
_KEPT_BYTES, _LARGEST_KEPT = 128 << 20, 32 << 20
_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
_KERNELS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_MOST_KERNELS = "128"
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


def keep_freed() -> None:
    """Let the C library keep what a forward frees for the next one; for the whole process.

    By itself it takes every large tensor from the system and hands it back, and each page of it
    is cleared and mapped anew: a tenth of a forward's time. Who has set the thresholds in the
    environment knows better.
    """
    if _LIBC is None or not hasattr(_LIBC, "mallopt") or any(map(os.environ.get, _SETTINGS)):
        return
    _LIBC.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
    _LIBC.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def bound_kernels() -> None:
    """Let oneDNN and torch's layer over it keep fewer kernels; to be called before the first.

    A kernel serves one number of tokens and takes up to half a MiB. Each of both keeps 1,024 by
    itself, so batches of ever new lengths would fill a GiB. Who has set the bounds in the
    environment knows better.
    """
    for name in _KERNELS:
        os.environ.setdefault(name, _MOST_KERNELS)


def give_back() -> None:
    """Hand freed memory back to the system, where the C library keeps it. Takes about 1 ms."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):  # musl has none
        _LIBC.malloc_trim(0)
