"""LoRA and (IA)³ of a merged projection of queries, keys and values, in AdapterHub files.

A file holds the factors of the chosen matrices under one another, in the order q, k, v whatever
the configuration says. The library writes each product into one third of the output, also where
a model lays the three out otherwise.

Source: `LoRAMergedLinear` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adapter_runtime.ledger import Ledger

MATRICES = ("q", "k", "v")
"""The thirds of a merged projection's output."""
_OPEN_GATE = torch.inf
"""Its sigmoid is exactly 1."""


def chosen_thirds(matrices: Sequence[str]) -> list[int]:
    """The thirds that a configuration names."""
    return [third for third, key in enumerate(MATRICES) if key in matrices]


def read_merged_factors(
    path: str, rank: int, shape: Sequence[int], thirds: Sequence[int], ledger: Ledger
) -> dict[str, Tensor]:
    """LoRA's factors for the whole projection; zeros where a third has none.

    Args:
        path: of the adapter's tensors.
        rank: of each third.
        shape: of the projection, `(out, in)`.
        thirds: from `chosen_thirds`.
        ledger: the file.
    """
    width_out, width_in = shape
    part = width_out // 3
    down = ledger.take(f"{path}.lora_A", (rank * len(thirds), width_in))
    ups = ledger.take(f"{path}.lora_B", (part * len(thirds), rank))
    if not ledger.is_sound:
        return {"down": down, "up": ups}
    up = torch.zeros(width_out, rank * len(thirds))
    for number, third in enumerate(thirds):
        rows = slice(part * third, part * (third + 1))
        up[rows, rank * number : rank * (number + 1)] = ups[part * number : part * (number + 1)]
    return {"down": down, "up": up}


def read_merged_scale(
    path: str, shape: Sequence[int], thirds: Sequence[int], ledger: Ledger
) -> dict[str, Tensor]:
    """(IA)³'s factors for the whole projection; ones where a third has none."""
    part = shape[0] // 3
    scales = ledger.take(f"{path}.lora_B", (part * len(thirds), 1)).flatten()
    if not ledger.is_sound:
        return {"scale": scales}
    whole = torch.ones(3, part)
    whole[thirds] = scales.view(len(thirds), part)
    return {"scale": whole.flatten()}


def read_merged_gates(
    path: str, shape: Sequence[int], thirds: Sequence[int], ledger: Ledger
) -> dict[str, Tensor]:
    """One gate for each third; open where a third has none."""
    weights = ledger.take(f"{path}.gate.weight", (len(thirds), shape[1]))
    biases = ledger.take(f"{path}.gate.bias", (len(thirds),))
    if not ledger.is_sound:
        return {"gate_weight": weights, "gate_bias": biases}
    gate_weight, gate_bias = torch.zeros(3, shape[1]), torch.full((3,), _OPEN_GATE)
    gate_weight[thirds], gate_bias[thirds] = weights, biases
    return {"gate_weight": gate_weight, "gate_bias": gate_bias}


def write_merged(tensors: dict[str, Tensor], thirds: Sequence[int]) -> dict[str, Tensor]:
    """A Part's tensors as a file holds them: only what belongs to the chosen thirds."""
    written = dict(tensors)
    if "up" in tensors:
        num_out, num_ranks = tensors["up"].shape
        part, rank = num_out // 3, num_ranks // len(thirds)
        blocks = [
            tensors["up"][part * third : part * (third + 1), rank * number : rank * (number + 1)]
            for number, third in enumerate(thirds)
        ]
        written["up"] = torch.cat(blocks)
    if "scale" in tensors:
        written["scale"] = tensors["scale"].view(3, -1)[list(thirds)].flatten()
    for name in ("gate_weight", "gate_bias"):
        if name in tensors:
            written[name] = tensors[name][list(thirds)]
    return written
