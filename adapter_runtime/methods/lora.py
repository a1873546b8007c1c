"""LoRA as the `adapters` library and as PEFT mean it.

Source: Hu et al. 2021 (https://arxiv.org/abs/2106.09685); gates: Mao et al. 2021, UniPELT.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.products import add_grouped_up, grouped_down, grouped_up
from adapter_runtime.methods.stacks import (
    StackedModuleParts,
    StackedTable,
    bucket,
    factor_dtype,
    gate_scores,
    row_gate,
    spread,
)
from adapter_runtime.types import Part

GATES = ("gate_weight", "gate_bias")


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How a low-rank product is scaled.

    Args:
        scale: the factor of the product; `alpha / r`, or 1 where the library applied none.
        use_gating: the product is multiplied by a gate per row.
        has_bias: the up-projection has a bias (PEFT `lora_bias`), scaled like the product.
    """

    scale: float
    use_gating: bool = False
    has_bias: bool = False


def _settings(part: Part) -> LoraSettings:
    assert isinstance(part.settings, LoraSettings), "A LoRA Part has LoraSettings. This is a bug."
    return part.settings


class LoraTable(StackedModuleParts):
    """Stacked factors, rank padded to a bucket, the scale beside the up-projection or folded in."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        rank, width_in = part.tensors["down"].shape
        width_out = part.tensors["up"].shape[0]
        shapes: dict[str, tuple[int, ...]] = {
            "down": (bucket(rank), width_in),
            "up": (bucket(rank), width_out),
        }
        settings = _settings(part)
        if settings.has_bias:
            shapes["bias"] = (width_out,)
        if settings.use_gating:
            shapes |= {name: tuple(part.tensors[name].shape) for name in GATES}
        factors = factor_dtype(device, dtype)
        self._stacks = StackedTable(shapes, device, factors, apart=("down", "up"))

    def put(self, row: int, part: Part) -> None:
        """Write a Part's factors into a row."""
        tensors, scale = part.tensors, _settings(part).scale
        values = {"down": tensors["down"], "up": tensors["up"].t()}
        if "bias" in tensors:
            values["bias"] = tensors["bias"] * scale
        if "gate_weight" in tensors:
            values |= {name: tensors[name] for name in GATES}
        self._stacks.write(row, values, {"up": scale})

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The low-rank product of the link before, or of x for the first."""
        source = x if hidden is None else hidden
        stacks = self._stacks
        narrow = grouped_down(groups, source, stacks.rows("down"))
        product = grouped_up(groups, narrow, stacks.rows("up"))
        if "bias" in stacks:
            product += groups.per_token(stacks["bias"])
        if "gate_weight" in stacks:
            scores = gate_scores(groups, x, stacks["gate_weight"], stacks["gate_bias"])
            product *= spread(row_gate(groups.spans, scores), product.shape[1])
        return product

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The linear's output plus the chain's product; writes into y."""
        return y.add_(hidden)

    def alone(self, groups: Groups, x: Tensor, y: Tensor) -> Tensor:
        """The linear's output plus the product; adds while it multiplies."""
        stacks = self._stacks
        if "gate_weight" in stacks:
            return super().alone(groups, x, y)
        narrow = grouped_down(groups, x, stacks.rows("down"))
        has_bias = "bias" in stacks
        biases = stacks["bias"] if has_bias else None
        return add_grouped_up(groups, y, narrow, stacks.rows("up"), biases)


class Lora(CommonMethod):
    """`y + scale * B(A x)` at a linear, or `y + gate * B(A x)`.

    Tensors: `down` `[r, in]`, `up` `[out, r]`, with bias `bias` `[out]`, with gating
    `gate_weight` `[gates, in]` and `gate_bias` `[gates]`, each gate for an equal share of the
    outputs. In a Stack the second adapter's input is the first one's product, as the `adapters`
    library composes them.
    """

    name = "lora"
    chain = "lora"
    transposed = ("up",)

    def table_key(self, part: Part) -> Hashable:
        """Gates, bias, rank bucket and widths; the scale is folded into the weights."""
        settings = _settings(part)
        rank, width_in = part.tensors["down"].shape
        width_out = part.tensors["up"].shape[0]
        num_gates = len(part.tensors["gate_bias"]) if settings.use_gating else 0
        return num_gates, settings.has_bias, bucket(rank), width_in, width_out

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> LoraTable:
        """An empty table for Parts with this Part's key."""
        return LoraTable(part, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The scaled or gated product. Shape: `[tokens, in]` to `[tokens, out]`."""
        tensors = {name: tensor.to(x) for name, tensor in part.tensors.items()}
        source = x if hidden is None else hidden
        product = source @ tensors["down"].t() @ tensors["up"].t()
        if "bias" in tensors:
            product = product + tensors["bias"]
        product = product * _settings(part).scale
        if "gate_weight" in tensors:
            scores = functional.linear(x, tensors["gate_weight"], tensors["gate_bias"])
            product = product * spread(row_gate(rows, scores), product.shape[1])
        return product

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The linear's output plus the chain's product."""
        return y + hidden
