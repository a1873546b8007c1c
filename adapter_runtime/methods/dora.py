"""DoRA: a low-rank product, and the length of every output's weights trained apart.

Source: Liu et al. 2024 (https://arxiv.org/abs/2402.09353). The `adapters` library divides by the
length without `alpha / r` and scales the linear's bias too; PEFT divides by the length of what it
adds, and leaves the bias alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

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


@dataclass(frozen=True, slots=True)
class DoraSettings:
    """How the product is scaled, and what is divided by the length.

    Args:
        scale: multiplies the product.
        is_norm_scaled: the length is that of `W + scale * B A` (PEFT), else of `W + B A`.
        is_bias_scaled: the linear's bias is divided too (`adapters`), else left alone (PEFT).
        use_gating: the product is multiplied by a gate per row, in place of the scale.
    """

    scale: float
    is_norm_scaled: bool = False
    is_bias_scaled: bool = True
    use_gating: bool = False


def _settings(part: Part) -> DoraSettings:
    assert isinstance(part.settings, DoraSettings), "A DoRA Part has DoraSettings. This is a bug."
    return part.settings


def _factors(part: Part, base: nn.Module) -> Tensor:
    """What every output is multiplied by. Shape: `[out]`."""
    settings, tensors = _settings(part), part.tensors
    weight = base.weight
    assert isinstance(weight, Tensor), "DoRA needs a linear. This is a bug."
    weight = weight.detach().t() if isinstance(base, Conv1D) else weight.detach()
    weight = weight.to(tensors["up"])
    added = tensors["up"] @ tensors["down"]
    length = (weight + added * (settings.scale if settings.is_norm_scaled else 1.0)).norm(dim=1)
    factors: Tensor = tensors["magnitude"] / length
    return factors


def _kept_bias(part: Part, base: nn.Module) -> Tensor | None:
    """The bias that is not multiplied; None where there is none."""
    bias = part.tensors.get("bias", base.bias)
    if _settings(part).is_bias_scaled or bias is None:
        return None
    assert isinstance(bias, Tensor), "A linear's bias is a tensor. This is a bug."
    return bias.detach()


class DoraTable(StackedModuleParts):
    """Stacked factors, rank padded to a bucket; the lengths are folded in."""

    def __init__(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> None:
        rank, width_in = part.tensors["down"].shape
        width_out = part.tensors["up"].shape[0]
        shapes: dict[str, tuple[int, ...]] = {
            "down": (bucket(rank), width_in),
            "up": (bucket(rank), width_out),
            "factors": (width_out,),
            "kept": (width_out,),
        }
        if _settings(part).use_gating:
            shapes |= {"gate_weight": (1, width_in), "gate_bias": (1,)}
        self._base = base
        self._stacks = StackedTable(
            shapes, device, factor_dtype(device, dtype), {"factors": 1.0}, apart=("down", "up")
        )

    def put(self, row: int, part: Part) -> None:
        """Write a Part's factors into a row; multiplies its matrices once."""
        tensors, factors = part.tensors, _factors(part, self._base)
        bias = _kept_bias(part, self._base)
        kept = torch.zeros_like(factors) if bias is None else bias.to(factors) * (1.0 - factors)
        values = dict(tensors) | {"up": tensors["up"].t(), "factors": factors, "kept": kept}
        self._stacks.write(row, values, {"up": _settings(part).scale})

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The low-rank product of the link before, or of x for the first."""
        stacks = self._stacks
        source = x if hidden is None else hidden
        narrow = grouped_down(groups, source, stacks.rows("down"))
        product = grouped_up(groups, narrow, stacks.rows("up"))
        if "gate_weight" in stacks:
            scores = gate_scores(groups, x, stacks["gate_weight"], stacks["gate_bias"])
            product *= row_gate(groups.spans, scores)
        return product

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The linear's output plus the chain's product, over the length; writes into y."""
        y.add_(hidden).mul_(groups.per_token(self._stacks["factors"]))
        return y.add_(groups.per_token(self._stacks["kept"]))

    def alone(self, groups: Groups, x: Tensor, y: Tensor) -> Tensor:
        """The same for one link; adds while it multiplies."""
        stacks = self._stacks
        if "gate_weight" in stacks:
            return super().alone(groups, x, y)
        narrow = grouped_down(groups, x, stacks.rows("down"))
        return add_grouped_up(
            groups, y, narrow, stacks.rows("up"), stacks["kept"], stacks["factors"]
        )


class Dora(CommonMethod):
    """`magnitude / length * (y + scale * B(A x))` at a linear.

    Tensors: `down` `[r, in]`, `up` `[out, r]`, `magnitude` `[out]`; with gating `gate_weight`
    `[1, in]` and `gate_bias` `[1]`; `bias` `[out]` where another bias than the linear's own is
    in y and shall be left alone. It shares LoRA's chain: the last adapter of a Stack divides.
    """

    name = "dora"
    chain = "lora"
    transposed = ("up",)

    def table_key(self, part: Part) -> Hashable:
        """Gate, rank bucket and widths; the rest is folded into the weights."""
        rank, width_in = part.tensors["down"].shape
        return _settings(part).use_gating, bucket(rank), width_in, part.tensors["up"].shape[0]

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> DoraTable:
        """An empty table over the frozen linear."""
        return DoraTable(part, base, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The scaled or gated product. Shape: `[tokens, in]` to `[tokens, out]`."""
        tensors = {name: tensor.to(x) for name, tensor in part.tensors.items()}
        source = x if hidden is None else hidden
        product = source @ tensors["down"].t() @ tensors["up"].t() * _settings(part).scale
        if "gate_weight" in tensors:
            scores = functional.linear(x, tensors["gate_weight"], tensors["gate_bias"])
            product = product * spread(row_gate(rows, scores), product.shape[1])
        return product

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The linear's output plus the chain's product, over the length."""
        factors, bias = _factors(part, base).to(y), _kept_bias(part, base)
        kept = 0.0 if bias is None else bias.to(y)
        return (y - kept + hidden) * factors + kept
