"""Whole modules that a checkpoint brings along, private to its slot.

Source: PEFT's `modules_to_save` and LayerNorm tuning (Zhao et al. 2023,
https://arxiv.org/abs/2312.11420).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapter_runtime.backbone.linears import is_linear, weight_shape
from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod, ModuleTable
from adapter_runtime.methods.products import grouped_down
from adapter_runtime.methods.stacks import StackedModuleParts, StackedTable, embedding_scale
from adapter_runtime.sites import EMBEDDING_SITES
from adapter_runtime.types import Part


@dataclass(frozen=True, slots=True)
class ReplacementSettings:
    """A replaced module has no settings: what it is, its point says."""


def _values(base: nn.Module) -> dict[str, Tensor]:
    """A module's own weights, as a Part holds them."""
    weight, bias = base.weight, getattr(base, "bias", None)
    assert isinstance(weight, Tensor), "Only modules with a weight are replaced. This is a bug."
    if is_linear(base) and tuple(weight.shape) != weight_shape(base):
        weight = weight.t()
    values = {"weight": weight.detach()}
    return values | {"bias": bias.detach()} if isinstance(bias, Tensor) else values


def _normed(base: nn.Module, x: Tensor) -> Tensor:
    """The states as a norm leaves them before its weight."""
    if _has_mean(base):
        return functional.layer_norm(x.float(), x.shape[-1:], eps=_eps(base)).to(x)
    return functional.rms_norm(x.float(), x.shape[-1:], eps=_eps(base)).to(x)


def _has_mean(base: nn.Module) -> bool:
    """Whether a norm takes the mean off, as LayerNorm does and RMSNorm does not."""
    return isinstance(base, nn.LayerNorm) or isinstance(getattr(base, "bias", None), Tensor)


def _eps(base: nn.Module) -> float:
    return float(getattr(base, "eps", None) or getattr(base, "variance_epsilon", None) or 1e-6)


def _embedded(base: nn.Module, ids: Tensor, weight: Tensor) -> Tensor:
    return functional.embedding(ids, weight) * embedding_scale(base)


def _forward(base: nn.Module, x: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """What the module computes with other weights."""
    if not x.is_floating_point():
        return _embedded(base, x, tensors["weight"])
    if is_linear(base):
        return functional.linear(x, tensors["weight"], tensors.get("bias"))
    return _normed(base, x) * tensors["weight"] + tensors.get("bias", 0.0)


class ReplacementTable(StackedModuleParts):
    """Stacked weights of a linear or a norm; the identity is the frozen module's own.

    Args:
        base: the frozen module.
        device, dtype: of the stacks.
    """

    def __init__(self, base: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        self._base = base
        self._own = _values(base)
        shapes = {name: tuple(value.shape) for name, value in self._own.items()}
        apart = ("weight",) if is_linear(base) else ()
        self._stacks = StackedTable(shapes, device, dtype, apart=apart)
        self._stacks.write(0, self._own)

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The replaced module's output; the last adapter of a Stack decides."""
        if is_linear(self._base):
            y = grouped_down(groups, x, self._stacks.rows("weight"))
        elif x.device.type == "cpu" and _has_mean(self._base):
            return self._layer_norms(groups, x)
        else:
            y = _normed(self._base, x) * groups.per_token(self._stacks["weight"])
        return y + groups.per_token(self._stacks["bias"]) if "bias" in self._stacks else y

    def _layer_norms(self, groups: Groups, x: Tensor) -> Tensor:
        """Each segment's own norm, rounded once, as the frozen one is."""
        weights, width, eps = self._stacks["weight"], x.shape[-1:], _eps(self._base)
        biases = self._stacks["bias"] if "bias" in self._own else [None] * len(weights)
        spans = zip(groups.table_rows, x.split_with_sizes(groups.sizes), strict=True)
        return torch.cat(
            [
                functional.layer_norm(span, width, weights[row], biases[row], eps)
                for row, span in spans
            ]
        )

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The replaced module's output."""
        return hidden


class EmbeddingReplacementTable:
    """Embedding tables by row, each in a tensor of its own: they are too large to lie spare.

    Args:
        base: the frozen embedding.
        device, dtype: of the tables.
    """

    def __init__(self, base: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        self._base, self._device, self._dtype = base, device, dtype
        self._weights: dict[int, Tensor] = {}
        self._shared: set[int] = set()

    @property
    def num_bytes(self) -> int:
        """Bytes on the device."""
        return sum(weight.numel() * weight.element_size() for weight in self._weights.values())

    @property
    def shared_bytes(self) -> int:
        """Of these, what is the host's own memory."""
        return sum(self._weights[row].nbytes for row in self._shared)

    def put(self, row: int, part: Part) -> None:
        """Bring a Part's table to the device."""
        own = part.tensors["weight"]
        self._weights[row] = weight = own.to(self._device, self._dtype)
        if weight.data_ptr() == own.data_ptr():
            self._shared.add(row)

    def clear(self, row: int) -> None:
        """Let a row's table go."""
        self._shared.discard(row)
        self._weights.pop(row, None)

    def before(self, groups: Groups, x: Tensor) -> Tensor:
        """The ids, unchanged."""
        return x

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The vectors of each token; the last adapter of a Stack decides."""
        own = _values(self._base)["weight"]
        return torch.cat(
            [
                _embedded(self._base, x[start:end], self._weights.get(row, own))
                for row, (start, end) in zip(
                    groups.table_rows, pairwise((0, *groups.ends)), strict=True
                )
            ]
        )

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The replaced table's vectors."""
        return hidden

    def alone(self, groups: Groups, x: Tensor, y: Tensor) -> Tensor:
        """The replaced table's vectors."""
        return self.step(groups, x, None)


class Replacement(CommonMethod):
    """Another linear, norm or embedding table in a module's place.

    Tensors: `weight` (`[out, in]`, `[width]`, or `[vocabulary, width]`), and `bias` `[out]` where
    the module has one. Other Parts at the point act on the new module.
    """

    name = "replacement"
    chain = "replacement"

    def table_key(self, part: Part) -> Hashable:
        """All replacements of a point share one table."""
        return part.settings

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> ModuleTable:
        """An empty table over the frozen module."""
        if part.point.site in EMBEDDING_SITES:
            return EmbeddingReplacementTable(base, device, dtype)
        return ReplacementTable(base, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The module's input, which only `finish` can read with the module at hand."""
        return x

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The output of the module with the Part's weights; `hidden` is its input."""
        return _forward(base, hidden, {k: v.to(y) for k, v in part.tensors.items()})
