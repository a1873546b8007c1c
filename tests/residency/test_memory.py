"""Memory of the process."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from adapter_runtime.memory import give_back

_BLOCKS = 20_000
_BLOCK_BYTES = 4096


def resident_bytes() -> int:
    """What the system counts for this process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_freed_memory_goes_back_to_the_system() -> None:
    """Also what lies below a block that is still in use."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this machine's C library keeps no freed memory")
    blocks = [b"x" * _BLOCK_BYTES for _ in range(_BLOCKS)]
    last, full = blocks[-1], resident_bytes()
    blocks.clear()
    give_back()
    assert full - resident_bytes() > _BLOCKS * _BLOCK_BYTES // 2
    assert last
