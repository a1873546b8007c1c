"""Trained biases that replace those of the backbone, private to their slot.

Source: PEFT's `bias="lora_only"` and `bias="all"`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.stacks import StackedModuleParts, StackedTable
from adapter_runtime.types import Part


@dataclass(frozen=True, slots=True)
class BiasSettings:
    """A replaced bias has no settings."""


def _base_bias(base: nn.Module) -> Tensor:
    bias = base.bias
    assert isinstance(bias, Tensor), "A replaced bias needs a biased module. This is a bug."
    return bias


class BiasTable(StackedModuleParts):
    """Stacked differences from the frozen bias, so that adding them replaces it."""

    def __init__(self, base: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        self._base = _base_bias(base)
        self._stacks = StackedTable({"delta": tuple(self._base.shape)}, device, dtype)

    def put(self, row: int, part: Part) -> None:
        """Write a Part's difference from the frozen bias into a row."""
        new = part.tensors["bias"]
        self._stacks.write(row, {"delta": new - self._base.detach().to(new)})

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The difference for each token; the last adapter of a Stack decides."""
        return groups.per_token(self._stacks["delta"]).expand(len(x), -1)

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The output with its bias replaced; writes into y."""
        return y.add_(hidden)


class Bias(CommonMethod):
    """Replaces the bias of a linear or LayerNorm. Tensors: `bias` `[width]`."""

    name = "bias"
    chain = "bias"

    def table_key(self, part: Part) -> Hashable:
        """All replaced biases of a point share one table."""
        return part.settings

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> BiasTable:
        """An empty table over the module's frozen bias."""
        return BiasTable(base, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The new bias for each token. Shape: `[tokens, in]` to `[tokens, width]`."""
        return part.tensors["bias"].to(x).expand(len(x), -1)

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """`y - old bias + new bias`."""
        return y + (hidden - _base_bias(base))
