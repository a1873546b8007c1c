"""PEFT's LoHa and LoKr, whose products are folded into plain LoRA when they are read.

Source: Hyeon-Woo et al. 2022 (https://arxiv.org/abs/2108.06098), Yeh et al. 2024
(https://arxiv.org/abs/2309.14859); `LoHaLayer`, `LoKrLayer` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from adapter_runtime.checkpoint.peft import defaults as peft_defaults
from adapter_runtime.checkpoint.peft.file import PeftFile
from adapter_runtime.checkpoint.peft.targets import Targets, pattern_value
from adapter_runtime.methods.configuration import as_number, positive_integer
from adapter_runtime.methods.lora import Lora, LoraSettings
from adapter_runtime.types import Part

Factors = tuple[Tensor, Tensor]
"""A product's `[r, in]` and `[out, r]`."""


def read_loha(file: PeftFile) -> list[Part]:
    """The Parts of a LoHa checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    return _read(file, _hadamard)


def read_lokr(file: PeftFile) -> list[Part]:
    """The Parts of a LoKr checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    return _read(file, _kronecker)


def _read(file: PeftFile, factors_of: Callable[[str, int, PeftFile], Factors]) -> list[Part]:
    targets = Targets.read(file.config, peft_defaults.LORA.get(file.facts.model_type))
    parts = []
    for path, point in file.linears(targets):
        rank, scale = _rank_and_scale(path, file)
        down, up = factors_of(path, rank, file)
        parts.append(Part(Lora.name, point, LoraSettings(scale), {"down": down, "up": up}))
    return parts


def _rank_and_scale(path: str, file: PeftFile) -> tuple[int, float]:
    config, module = file.config, file.module(path)
    rank = pattern_value(config.get("rank_pattern"), module, config.get("r", 8), "rank_pattern")
    alpha = pattern_value(
        config.get("alpha_pattern"), module, config.get("alpha", 8), "alpha_pattern"
    )
    rank = positive_integer(rank, "r")
    return rank, as_number(alpha, "alpha") / rank


def _hadamard(path: str, rank: int, file: PeftFile) -> Factors:
    """Two low-rank products times each other, entry by entry: a product of the rank's square."""
    width_out, width_in = file.facts.linears[path]
    ups = [file.ledger.take(file.name(path, f"hada_w{n}_a"), (width_out, rank)) for n in (1, 2)]
    downs = [file.ledger.take(file.name(path, f"hada_w{n}_b"), (rank, width_in)) for n in (1, 2)]
    if not file.ledger.is_sound:
        return downs[0], ups[0]
    if rank * rank > min(width_out, width_in):
        return _dense((ups[0] @ downs[0]) * (ups[1] @ downs[1]))
    up = (ups[0].unsqueeze(2) * ups[1].unsqueeze(1)).flatten(1)
    return (downs[0].unsqueeze(1) * downs[1].unsqueeze(0)).flatten(0, 1), up


def _kronecker(path: str, rank: int, file: PeftFile) -> Factors:
    """Every number of a small matrix times a whole other one."""
    width_out, width_in = file.facts.linears[path]
    nothing = torch.zeros(1, width_in), torch.zeros(width_out, 1)
    outer, inner = _matrix(path, "lokr_w1", rank, file), _matrix(path, "lokr_w2", rank, file)
    if outer is None or inner is None:
        return nothing
    shape = (outer.shape[0] * inner.shape[0], outer.shape[1] * inner.shape[1])
    if shape != (width_out, width_in):
        message = (
            f"The product of {path} has shape {list(shape)}, its linear {width_out, width_in}."
        )
        file.ledger.problem("wrong_shape", message)
        return nothing
    return _dense(torch.kron(outer, inner))


def _matrix(path: str, stem: str, rank: int, file: PeftFile) -> Tensor | None:
    """A matrix that is stored whole, or as a low-rank product; None where it does not fit."""
    ledger, name = file.ledger, file.name(path, stem)
    whole = ledger.shape(name)
    if whole is not None and len(whole) == 2:
        return ledger.take(name, whole)
    first, second = ledger.shape(f"{name}_a") or (0,), ledger.shape(f"{name}_b") or (0,)
    left = ledger.take(f"{name}_a", (first[0], rank))
    right = ledger.take(f"{name}_b", (rank, second[-1]))
    return left @ right if ledger.is_sound else None


def _dense(delta: Tensor) -> Factors:
    """Any change of a weight as a product, through the narrower side."""
    width_out, width_in = delta.shape
    if width_out < width_in:
        return delta, torch.eye(width_out)
    return torch.eye(width_in), delta
