"""(IA)³: learned factors for a linear's output, or for its input.

Source: Liu et al. 2022 (https://arxiv.org/abs/2205.05638). The `adapters` library scales outputs
everywhere, bias included; PEFT scales the input of the modules that it calls feed-forward.
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
from adapter_runtime.methods.stacks import (
    StackedModuleParts,
    StackedTable,
    gate_scores,
    row_gate,
    spread,
)
from adapter_runtime.types import Part

GATES = ("gate_weight", "gate_bias")


@dataclass(frozen=True, slots=True)
class Ia3Settings:
    """How the factors are applied.

    Args:
        alpha: multiplies the factors; not applied where there is a gate.
        use_gating: the factors are multiplied by a gate per row.
    """

    alpha: float = 1.0
    use_gating: bool = False


def _settings(part: Part) -> Ia3Settings:
    assert isinstance(part.settings, Ia3Settings), "An (IA)³ Part has Ia3Settings. This is a bug."
    return part.settings


def _factors(part: Part) -> Tensor:
    settings = _settings(part)
    return part.tensors["scale"] * (1.0 if settings.use_gating else settings.alpha)


class Ia3Table(StackedModuleParts):
    """Stacked factors, alpha folded in."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        shapes: dict[str, tuple[int, ...]] = {"scale": tuple(part.tensors["scale"].shape)}
        if _settings(part).use_gating:
            shapes |= {name: tuple(part.tensors[name].shape) for name in GATES}
        # The sigmoid of infinity is exactly 1: the identity's gate is open.
        identities = {"scale": 1.0, "gate_bias": torch.inf}
        self._stacks = StackedTable(shapes, device, dtype, identities)

    def put(self, row: int, part: Part) -> None:
        """Write a Part's factors into a row."""
        values = {"scale": _factors(part)}
        if "gate_weight" in self._stacks:
            values |= {name: part.tensors[name] for name in GATES}
        self._stacks.write(row, values)

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The factors of each token, times the link before."""
        factors = groups.per_token(self._stacks["scale"]).expand(len(x), -1)
        if "gate_weight" in self._stacks:
            stacks = self._stacks
            scores = gate_scores(groups, x, stacks["gate_weight"], stacks["gate_bias"])
            factors = factors * spread(row_gate(groups.spans, scores), factors.shape[1])
        return factors if hidden is None else hidden * factors

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The linear's output, bias included, times the chain's factors; writes into y."""
        return y.mul_(hidden)


class Ia3(CommonMethod):
    """`(W x + b) * scale * alpha`, or `(W x + b) * scale * gate`.

    Tensors: `scale` `[out]`, with gating `gate_weight` `[gates, in]` and `gate_bias` `[gates]`,
    each gate for an equal share of the outputs. It shares LoRA's chain because the `adapters`
    library composes the two in one.
    """

    name = "ia3"
    chain = "lora"

    def table_key(self, part: Part) -> Hashable:
        """Gates and width; alpha is folded into the factors."""
        num_gates = len(part.tensors["gate_bias"]) if _settings(part).use_gating else 0
        return num_gates, part.tensors["scale"].shape[0]

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> Ia3Table:
        """An empty table for Parts with this Part's key."""
        return Ia3Table(part, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The factors of each token. Shape: `[tokens, in]` to `[tokens, out]`."""
        factors = _factors(part).to(x).expand(len(x), -1)
        if _settings(part).use_gating:
            weight, bias = part.tensors["gate_weight"].to(x), part.tensors["gate_bias"].to(x)
            gates = row_gate(rows, functional.linear(x, weight, bias))
            factors = factors * spread(gates, factors.shape[1])
        return factors if hidden is None else hidden * factors

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The linear's output, bias included, times the chain's factors."""
        return y * hidden
