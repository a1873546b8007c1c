"""(IA)³ on the input of a linear, as PEFT means its feed-forward modules.

Source: Liu et al. 2022 (https://arxiv.org/abs/2205.05638); PEFT's `feedforward_modules`.
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
class Ia3InputSettings:
    """Factors of an input have no settings."""


class Ia3InputTable(StackedModuleParts):
    """Stacked factors of a linear's input."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        shape = tuple(part.tensors["scale"].shape)
        self._stacks = StackedTable({"scale": shape}, device, dtype, {"scale": 1.0})

    def put(self, row: int, part: Part) -> None:
        """Write a Part's factors into a row."""
        self._stacks.write(row, {"scale": part.tensors["scale"]})

    def before(self, groups: Groups, x: Tensor) -> Tensor:
        """The input times the factors of each token."""
        return x * groups.per_token(self._stacks["scale"])

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Nothing: the work was done on the input."""
        return x if hidden is None else hidden

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The output, unchanged."""
        return y


class Ia3Input(CommonMethod):
    """`W (x * scale) + b`: PEFT's feed-forward form. Tensors: `scale` `[in]`."""

    name = "ia3_input"
    chain = "ia3_input"

    def table_key(self, part: Part) -> Hashable:
        """The input's width."""
        return part.tensors["scale"].shape[0]

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> Ia3InputTable:
        """An empty table for Parts with this Part's key."""
        return Ia3InputTable(part, device, dtype)

    def before(self, part: Part, x: Tensor) -> Tensor:
        """The input times the factors."""
        return x * part.tensors["scale"].to(x)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """Nothing: the work was done on the input."""
        return x if hidden is None else hidden

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The output, unchanged."""
        return y
