"""Weights of made-up adapters, the same for every contender; needs torch only."""

from __future__ import annotations

import torch
from torch import Tensor


def factors(task: int, layer: int, site: str, narrow: int, wide: int) -> tuple[Tensor, Tensor]:
    """The down- and up-projection of one adapter at one place.

    Shape: `[narrow, wide]` and `[wide, narrow]`.
    """
    generator = torch.Generator().manual_seed(hash_of(task, layer, site))
    down = torch.randn(narrow, wide, generator=generator) * wide**-0.5
    return down, torch.randn(wide, narrow, generator=generator) * 0.05


def hash_of(task: int, layer: int, site: str) -> int:
    """A seed that is the same in every process."""
    return task * 100_003 + layer * 101 + sum(map(ord, site))
