"""Bottleneck adapters: the whole sequential and parallel family of the `adapters` library.

Source: Houlsby et al. 2019 (https://arxiv.org/abs/1902.00751), Pfeiffer et al. 2020
(https://arxiv.org/abs/2005.00052), He et al. 2021 (https://arxiv.org/abs/2110.04366).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.apart import Apart
from adapter_runtime.methods.base import Applied, CommonMethod, Entry
from adapter_runtime.methods.products import add_grouped_up, grouped_down, grouped_up
from adapter_runtime.methods.stacks import (
    StackedParts,
    StackedTable,
    activation,
    bucket,
    factor_dtype,
    row_gate,
)
from adapter_runtime.types import Part

_INNER_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class BottleneckSettings:
    """The flags of one bottleneck block.

    Args:
        activation: lower-cased name, as transformers knows it.
        is_parallel: the block reads the sublayer's residual input, not its output.
        original_ln_before, original_ln_after: the backbone's residual and norm around the block.
        residual_before_ln: True, False or `post_add`: which tensor is the block's residual.
        ln_before, ln_after: LayerNorms inside the block.
        adapter_residual_before_ln: the block's residual joins before `ln_after`.
        use_gating: a gate per row.
        scaling: fixed factor; a learned factor is the tensor `scaling` instead.
    """

    activation: str
    is_parallel: bool = False
    original_ln_before: bool = False
    original_ln_after: bool = True
    residual_before_ln: bool | str = True
    ln_before: bool = False
    ln_after: bool = False
    adapter_residual_before_ln: bool = False
    use_gating: bool = False
    scaling: float = 1.0


def _settings(part: Part) -> BottleneckSettings:
    assert isinstance(part.settings, BottleneckSettings), "Foreign settings. This is a bug."
    return part.settings


def _enter(settings: BottleneckSettings, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
    """What the block reads, and its residual."""
    if settings.is_parallel:
        return Entry(residual, residual, residual)
    z, block_residual = h, h
    if settings.original_ln_before:
        z = h + residual
        if settings.residual_before_ln == "post_add":
            block_residual = z
        z = norm(z)
    return Entry(z, block_residual if settings.residual_before_ln else z, h)


def _finish(
    settings: BottleneckSettings, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
) -> Tensor:
    """The sublayer's output by the rule of the chain's last adapter."""
    if settings.is_parallel:
        h = start + h
    if not settings.original_ln_after:
        return h
    output: Tensor = norm(h + residual)
    return output


def _open(
    settings: BottleneckSettings, h: Tensor, residual: Tensor, norm: nn.Module
) -> tuple[Tensor, Tensor]:
    """A new tensor of all that stands beside a lone block's product, and what the block reads."""
    is_around = settings.original_ln_before and settings.original_ln_after
    if is_around and settings.residual_before_ln is True and not settings.is_parallel:
        total = h + residual
        return total, norm(total)
    z, block_residual, _ = _enter(settings, h, residual, norm)
    beside = h if settings.is_parallel else block_residual
    return beside + residual if settings.original_ln_after else beside.clone(), z


class BottleneckTable(StackedParts):
    """Stacked blocks, width padded to a bucket; `ln_before` is folded in."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        self._settings = _settings(part)
        self._activation = activation(self._settings.activation)
        narrow, wide = part.tensors["down_weight"].shape
        padded = bucket(narrow)
        shapes: dict[str, tuple[int, ...]] = {
            "down_weight": (padded, wide),
            "down_bias": (padded,),
            "up_weight": (padded, wide),
            "up_bias": (wide,),
        }
        if self._settings.use_gating:
            shapes |= {"gate_weight": (wide,), "gate_bias": (1,)}
        if self._settings.ln_after:
            shapes |= {"norm_after_weight": (wide,), "norm_after_bias": (wide,)}
        factors, apart = factor_dtype(device, dtype), ("down_weight", "up_weight")
        self._stacks = StackedTable(shapes, device, factors, apart=apart)

    def put(self, row: int, part: Part) -> None:
        """Write a Part's block into a row."""
        tensors = part.tensors
        down, down_bias = tensors["down_weight"], tensors["down_bias"]
        if "norm_before_weight" in tensors:
            down_bias = down_bias + down @ tensors["norm_before_bias"]
            down = down * tensors["norm_before_weight"]
        up, scale = tensors["up_weight"].t(), 1.0
        scaling = tensors.get("scaling", torch.tensor(_settings(part).scaling))
        # Elsewhere the number would be asked of the device.
        if scaling.numel() == 1 and isinstance(self._stacks.rows("up_weight"), Apart):
            scale = scaling.item()
        else:
            up = up * scaling
        values = dict(tensors) | {
            "down_weight": down,
            "down_bias": down_bias,
            "up_weight": up,
            "up_bias": tensors["up_bias"] * scaling,
        }
        if "gate_weight" in tensors:
            values["gate_weight"] = tensors["gate_weight"][0]
        self._stacks.write(row, values, {"up_weight": scale})

    def enter(self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """What the blocks read by this table's flags."""
        return _enter(self._settings, h, residual, norm)

    def apply(self, groups: Groups, entry: Entry) -> Applied:
        """The block's output with its residual; without one where it is parallel."""
        settings, block_residual = self._settings, entry.residual
        up = self._up(groups, entry.z)
        gated = self._gated(groups, entry.z, up)
        if settings.is_parallel:
            return Applied(self._norm_after(groups, gated), up)
        if settings.adapter_residual_before_ln:
            return Applied(self._norm_after(groups, gated + block_residual), up)
        return Applied(self._norm_after(groups, gated) + block_residual, up)

    def finish(
        self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
    ) -> Tensor:
        """The sublayer's output by the rule of this table's flags."""
        return _finish(self._settings, h, residual, norm, start)

    def close(self, groups: Groups, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """The sublayer's output by one block; where nothing stands between, all sums are one."""
        settings, stacks = self._settings, self._stacks
        if settings.use_gating or settings.ln_after:
            applied = self.apply(groups, self.enter(groups, h, residual, norm))
            return self.finish(groups, applied.h, residual, norm, h)
        total, z = _open(settings, h, residual, norm)
        narrow = self._narrow(groups, z)
        add_grouped_up(groups, total, narrow, stacks.rows("up_weight"), stacks["up_bias"])
        return cast(Tensor, norm(total)) if settings.original_ln_after else total

    def _narrow(self, groups: Groups, z: Tensor) -> Tensor:
        if self._settings.ln_before:
            z = functional.layer_norm(z, z.shape[-1:], eps=_INNER_NORM_EPS)
        down = grouped_down(groups, z, self._stacks.rows("down_weight"))
        down += groups.per_token(self._stacks["down_bias"])
        activated: Tensor = self._activation(down)
        return activated

    def _up(self, groups: Groups, z: Tensor) -> Tensor:
        up = grouped_up(groups, self._narrow(groups, z), self._stacks.rows("up_weight"))
        up += groups.per_token(self._stacks["up_bias"])
        return up.to(z.dtype)

    def _gated(self, groups: Groups, z: Tensor, up: Tensor) -> Tensor:
        if not self._settings.use_gating:
            return up
        scores = (z * groups.per_token(self._stacks["gate_weight"])).sum(1, keepdim=True)
        scores += groups.per_token(self._stacks["gate_bias"])
        return up * row_gate(groups.spans, scores).to(up.dtype)

    def _norm_after(self, groups: Groups, x: Tensor) -> Tensor:
        if not self._settings.ln_after:
            return x
        normed = functional.layer_norm(x, x.shape[-1:], eps=_INNER_NORM_EPS)
        normed *= groups.per_token(self._stacks["norm_after_weight"])
        return normed.add_(groups.per_token(self._stacks["norm_after_bias"]))


class Bottleneck(CommonMethod):
    """A down-projection, an activation and an up-projection at the end of a sublayer.

    Tensors, for block width b and hidden width d: `down_weight` `[b, d]`, `down_bias` `[b]`,
    `up_weight` `[d, b]`, `up_bias` `[d]`; where the flags ask for them `scaling` `[1]` or `[d]`,
    `gate_weight` `[1, d]`, `gate_bias` `[1]`, `norm_before_weight` … `norm_after_bias` `[d]`.
    """

    name = "bottleneck"
    transposed = ("up_weight",)

    def table_key(self, part: Part) -> Hashable:
        """Flags, width bucket and hidden width; scaling is folded into the weights."""
        narrow, wide = part.tensors["down_weight"].shape
        return replace(_settings(part), scaling=1.0), bucket(narrow), wide

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> BottleneckTable:
        """An empty table for Parts with this Part's key."""
        return BottleneckTable(part, device, dtype)

    def enter(self, part: Part, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """What the block reads by this Part's flags."""
        return _enter(_settings(part), h, residual, norm)

    def apply(self, part: Part, entry: Entry, rows: RowSpans) -> Applied:
        """The block's output with its residual. Shape: `[tokens, width]` each."""
        settings, (z, block_residual, _) = _settings(part), entry
        tensors = {name: tensor.to(z) for name, tensor in part.tensors.items()}
        up = gated = _reference_up(settings, tensors, z)
        if settings.use_gating:
            scores = functional.linear(z, tensors["gate_weight"], tensors["gate_bias"])
            gated = up * row_gate(rows, scores)
        if settings.is_parallel:
            return Applied(_inner_norm(tensors, "norm_after", gated), up)
        if settings.adapter_residual_before_ln:
            return Applied(_inner_norm(tensors, "norm_after", gated + block_residual), up)
        return Applied(_inner_norm(tensors, "norm_after", gated) + block_residual, up)

    def finish(
        self, part: Part, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor
    ) -> Tensor:
        """The sublayer's output by the rule of this Part's flags."""
        return _finish(_settings(part), h, residual, norm, start)


def _reference_up(settings: BottleneckSettings, tensors: dict[str, Tensor], z: Tensor) -> Tensor:
    z = _inner_norm(tensors, "norm_before", z)
    down = functional.linear(z, tensors["down_weight"], tensors["down_bias"])
    down = activation(settings.activation)(down)
    up = functional.linear(down, tensors["up_weight"], tensors["up_bias"])
    return up * tensors.get("scaling", settings.scaling)


def _inner_norm(tensors: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = tensors.get(f"{name}_weight"), tensors.get(f"{name}_bias")
    if weight is None:
        return x
    return functional.layer_norm(x, x.shape[-1:], weight, bias, _INNER_NORM_EPS)
