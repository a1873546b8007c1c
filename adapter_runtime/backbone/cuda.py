"""What a CUDA device's kernels can do; what they cannot goes the plain way."""

from __future__ import annotations

from functools import cache

import torch

_AMPERE = 8
_GROUPING = (9, 10)
"""Major versions whose grouped products stay on the device; others fetch the offsets first."""


@cache
def has_flash(device: torch.device) -> bool:
    """Whether attention over rows of any length in one call is there (Ampere and newer)."""
    is_built = torch.backends.cuda.is_flash_attention_available()
    return is_built and _major(device) >= _AMPERE


@cache
def has_grouped_products(device: torch.device) -> bool:
    """Whether `grouped_mm` runs in bfloat16 without asking the device where groups end."""
    return _major(device) in _GROUPING


def _major(device: torch.device) -> int:
    """The major number of the compute capability; 0 where there is none."""
    if device.type != "cuda" or torch.version.hip is not None:
        return 0
    major: int = torch.cuda.get_device_capability(device)[0]
    return major
