"""Weights that need not be stored: every parameter is filled from a function of its name.

Runs under the library's and under the generators' environments alike: numpy and torch only.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

MATRIX_STD = 0.2
VECTOR_STD = 0.1


def draw(name: str, shape: tuple[int, ...], std: float, mean: float = 0.0) -> Tensor:
    """Normal float32 numbers that depend on the name and the shape only."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    generator = np.random.Generator(np.random.Philox(key=key))
    values = generator.standard_normal(shape) * std + mean
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def fill_backbone(model: nn.Module, prefix: str = "") -> nn.Module:
    """Fill every parameter in place, by its name without the base model's prefix.

    Args:
        model: a bare base model, or a task model whose base lies under `prefix`.
        prefix: such as `bert`; empty for a bare model.
    """
    with torch.no_grad():
        for full_name, parameter in model.named_parameters():
            name = full_name.removeprefix(f"{prefix}.") if prefix else full_name
            is_norm = ("norm" in name.lower() or "ln_" in name) and name.endswith("weight")
            std = VECTOR_STD if parameter.ndim == 1 else MATRIX_STD
            parameter.copy_(draw(name, tuple(parameter.shape), std, 1.0 if is_norm else 0.0))
    return model.eval()
