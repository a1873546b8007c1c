"""What the factors of a low-rank product are made of in AdapterHub files.

Source: `LoRA`, `Vera` and `MTLLoRA` of the `adapters` library; VeRA: Kopiczko et al. 2023
(https://arxiv.org/abs/2310.11454); MTL-LoRA: Yang et al. 2024 (https://arxiv.org/abs/2410.09437).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from adapter_runtime.methods.configuration import BadConfig, HubFile, number, positive_integer

Factors = Callable[[str, Sequence[int], HubFile], dict[str, Tensor]]
"""Reads `down` and `up` below a path, for a linear `(out, in)`."""


def lora_factors(rank: int) -> Factors:
    """Two tensors as they are."""

    def read(path: str, shape: Sequence[int], file: HubFile) -> dict[str, Tensor]:
        width_out, width_in = shape
        return {
            "down": file.ledger.take(f"{path}.lora_A", (rank, width_in)),
            "up": file.ledger.take(f"{path}.lora_B", (width_out, rank)),
        }

    return read


def vera_factors(rank: int) -> Factors:
    """`vera_B B vera_D` as the up-projection; A and B are the same in all layers.

    All of both matrices counts: training fills what starts as a diagonal.
    """

    def read(path: str, shape: Sequence[int], file: HubFile) -> dict[str, Tensor]:
        width_out, width_in = shape
        down = file.take_shared("lora_A", (rank, width_in))
        shared_up = file.take_shared("lora_B", (width_out, rank))
        if (found := (len(shared_up), down.shape[1])) != (width_out, width_in):
            message = f"VeRA shares factors of {found}; {path} is {width_out} by {width_in}"
            raise BadConfig(f"{message}, and the library cannot run that.", "unsupported_method")
        outer = file.ledger.take(f"{path}.vera_B", (width_out, width_out))
        inner = file.ledger.take(f"{path}.vera_D", (rank, rank))
        up = outer @ shared_up @ inner if file.ledger.is_sound else shared_up
        return {"down": down, "up": up}

    return read


def mtl_factors(config: Mapping[str, Any]) -> Factors:
    """The mean of the up-projections by the softmax of their weights, behind a diagonal.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    rank = positive_integer(config.get("r", 8), "r")
    count = positive_integer(config.get("n_up_projection", 1), "n_up_projection")
    sharpness = number(config, "weights_sharpness", 0.05)
    if sharpness == 0:
        raise BadConfig("weights_sharpness must not be 0.")

    def read(path: str, shape: Sequence[int], file: HubFile) -> dict[str, Tensor]:
        width_out, width_in = shape
        down = file.ledger.take(f"{path}.lora_A", (rank, width_in))
        ups = file.ledger.take(f"{path}.lora_B", (count, width_out, rank))
        values = file.ledger.take(f"{path}.task_specific.values", (rank,))
        weights = file.ledger.take(f"{path}.weights", (count,))
        if not file.ledger.is_sound:
            return {"down": down, "up": ups}
        shares = (weights / sharpness).softmax(0)
        return {"down": down, "up": (ups * shares[:, None, None]).sum(0) * values}

    return read
