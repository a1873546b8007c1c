"""PEFT methods whose weights fold into plain LoRA when they are read: AdaLoRA and VeRA.

Source: Zhang et al. 2023 (https://arxiv.org/abs/2303.10512), Kopiczko et al. 2024
(https://arxiv.org/abs/2310.11454); `SVDLinear`, `VeraModel` of peft 0.21.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.checkpoint.peft import defaults as peft_defaults
from adapter_runtime.checkpoint.peft.file import PeftFile
from adapter_runtime.checkpoint.peft.lora import read_biases
from adapter_runtime.checkpoint.peft.targets import Targets
from adapter_runtime.methods.configuration import BadConfig, as_number, boolean, positive_integer
from adapter_runtime.methods.lora import Lora, LoraSettings
from adapter_runtime.types import Note, Part, PlugPoint

_SMALLEST = 1e-5
"""What PEFT adds to the rank that it divides by."""
MAX_PROJECTION = 1 << 26
"""Numbers of VeRA's two projections that are worth regenerating."""


def read_adalora(file: PeftFile) -> list[Part]:
    """The Parts of an AdaLoRA checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    targets = Targets.read(file.config, peft_defaults.ADALORA.get(file.facts.model_type))
    linears = list(file.linears(targets))
    parts = [_svd_part(path, point, file) for path, point in linears]
    found = [part for part in parts if len(part.tensors["down"])]
    return read_biases([path for path, _ in linears], file) + found


def _svd_part(path: str, point: PlugPoint, file: PeftFile) -> Part:
    first_rank = positive_integer(file.config.get("init_r", 12), "init_r")
    rank = _kept_rank(path, first_rank, file)
    alpha = as_number(file.config.get("lora_alpha", 8), "lora_alpha")
    width_out, width_in = file.facts.linears[path]
    take = file.ledger.take
    down = take(file.name(path, "lora_A"), (rank, width_in))
    values = take(file.name(path, "lora_E"), (rank, 1))
    up = take(file.name(path, "lora_B"), (width_out, rank))
    scale = (alpha if alpha > 0 else rank) / (_divisor(path, first_rank, file) + _SMALLEST)
    return Part(Lora.name, point, LoraSettings(scale), {"down": down * values, "up": up})


def _divisor(path: str, first_rank: int, file: PeftFile) -> float:
    """The rank that the scale is shared by: the first one, also when some were taken away."""
    name = file.name(path, "ranknum")
    if name not in file.ledger:
        return first_rank
    return float(file.ledger.take(name, file.ledger.shape(name) or ()).flatten().sum())


def _kept_rank(path: str, first_rank: int, file: PeftFile) -> int:
    pattern = file.config.get("rank_pattern") or {}
    if not isinstance(pattern, Mapping):
        raise BadConfig("rank_pattern must be a mapping from modules to lists of switches.")
    kept = pattern.get(f"{file.module(path)}.lora_E")
    if kept is None:
        return first_rank
    is_switches = isinstance(kept, Sequence) and all(isinstance(item, bool) for item in kept)
    if not is_switches or len(kept) != first_rank:
        raise BadConfig(f"rank_pattern must hold {first_rank} switches for each module.")
    return sum(kept)


def read_vera(file: PeftFile) -> list[Part]:
    """The Parts of a VeRA checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    targets = Targets.read(file.config, peft_defaults.VERA.get(file.facts.model_type))
    linears = list(file.linears(targets))
    if not linears:
        raise BadConfig("target_modules names no linear of this backbone.", "unsupported_module")
    rank = positive_integer(file.config.get("r", 256), "r")
    factors = {path: _vera_factors(path, rank, file) for path, _ in linears}
    if not file.ledger.is_sound:
        return []  # Only factors that fit prove the rank, which may be any number.
    down, up = _projections(rank, [file.facts.linears[path] for path, _ in linears], file)
    parts = []
    for path, point in linears:
        width_out, width_in = file.facts.linears[path]
        inner, outer = factors[path]
        tensors = {
            "down": down[:, :width_in] * inner.unsqueeze(1),
            "up": up[:width_out] * outer.unsqueeze(1),
        }
        parts.append(Part(Lora.name, point, LoraSettings(1.0), tensors))
    return read_biases([path for path, _ in linears], file) + parts


def _vera_factors(path: str, rank: int, file: PeftFile) -> tuple[Tensor, Tensor]:
    width_out, _ = file.facts.linears[path]
    inner = file.ledger.take(file.name(path, "vera_lambda_d"), (rank,))
    return inner, file.ledger.take(file.name(path, "vera_lambda_b"), (width_out,))


def _projections(
    rank: int, shapes: Sequence[tuple[int, ...]], file: PeftFile
) -> tuple[Tensor, Tensor]:
    """The shared projections, as large as the largest linear in each direction."""
    width_out, width_in = (max(sizes) for sizes in zip(*shapes, strict=True))
    names = ("base_model.vera_A", "base_model.vera_B")
    if boolean(file.config, "save_projection", True):
        take = file.ledger.take
        return take(names[0], (rank, width_in)), take(names[1], (width_out, rank))
    # PEFT does not read them either where the configuration says that they are not there.
    file.ledger.alias(names, "regenerated")
    if rank * (width_in + width_out) > MAX_PROJECTION:
        raise BadConfig("r is too large for projections that must be made anew; save them.")
    message = "The projections are not in the file; they were made anew from projection_prng_key."
    file.notes.append(Note("regenerated_projection", message))
    return _regenerated(rank, width_in, width_out, file.config.get("projection_prng_key", 0))


def _regenerated(rank: int, width_in: int, width_out: int, key: Any) -> tuple[Tensor, Tensor]:
    if isinstance(key, bool) or not isinstance(key, int) or not abs(key) < 1 << 63:
        raise BadConfig(f"projection_prng_key must be an integer, not {key!r:.200}.")
    generator = torch.Generator("cpu").manual_seed(key)
    return (
        _uniform((rank, width_in), generator),
        _uniform((width_out, rank), generator),
    )


def _uniform(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Kaiming's uniform initialisation, drawn as PEFT draws it."""
    bound = math.sqrt(3.0) * (math.sqrt(2) / math.sqrt(shape[1]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
