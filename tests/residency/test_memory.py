"""Memory of the process."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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


_FAULTS = """
import resource
from adapter_runtime.memory import keep_freed
keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(24 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.parametrize(("threshold", "is_kept"), ((None, True), ("131072", False)))
def test_what_a_forward_frees_is_kept_for_the_next_one(
    threshold: str | None, is_kept: bool
) -> None:
    """A large block takes no new pages the second time, unless the operator set thresholds."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this machine's C library keeps no freed memory")
    given = {"MALLOC_TRIM_THRESHOLD_": threshold, "MALLOC_MMAP_THRESHOLD_": threshold}
    environment = {key: value for key, value in os.environ.items() if key not in given}
    environment |= {key: value for key, value in given.items() if value}
    command = [sys.executable, "-c", _FAULTS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (int(done.stdout) < 100) == is_kept


_SHAPES = """
import re, sys, torch
from pathlib import Path
from adapter_runtime.memory import bound_kernels
if sys.argv[1] == "bound":
    bound_kernels()
torch.set_num_threads(1)
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10
multiply = torch.ops.mkldnn._linear_pointwise.default
with torch.inference_mode():
    weight = torch.ops.mkldnn._reorder_linear_weight(torch.randn(128, 128))
    before = resident()
    for length in range(1, 700):
        multiply(torch.randn(1, length, 128), weight, None, "none", [], "")
print(resident() - before)
"""


def test_batches_of_ever_new_lengths_do_not_fill_memory_with_kernels() -> None:
    """Each length has a kernel, and oneDNN keeps a thousand of them by itself."""
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        pytest.skip("this machine's torch is built without oneDNN")
    grown = {}
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    for name in ("bound", "free"):
        command = [sys.executable, "-c", _SHAPES, name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        grown[name] = int(done.stdout)
    assert grown["bound"] < grown["free"] / 2
