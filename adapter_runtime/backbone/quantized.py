"""Frozen linears in int8: activations quantised token by token, weights channel by channel.

Each token has a scale and a zero of its own, so no row's answer depends on its neighbours, and no
step is lost to values that the token does not have: what follows GELU or a LayerNorm lies far from
even about zero. The product is oneDNN's of unsigned by signed bytes, whose sums are exact; scale,
zero and bias take two passes over its output.
"""

from __future__ import annotations

import threading
import weakref
from typing import cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adapter_runtime.backbone.linears import PackedLinear, Packing, is_linear
from adapter_runtime.errors import SettingsError

_WEIGHT_STEPS = 127
_STEPS = 255
STEPS_WITHOUT_VNNI = 127
"""Before VNNI two products are added in 16 bits, which whole bytes would overflow."""
_SMALLEST = 1e-30  # of a range; a step of it is still no denormal number


class Int8Linear(PackedLinear):
    """A linear in int8 in inference mode; its float weights stay, for adapters that read them.

    Args:
        base: the frozen linear, of float32.
        steps: from a token's smallest value to its largest, 1 to 255.
    """

    def __init__(self, base: nn.Linear | Conv1D, steps: int) -> None:
        super().__init__(base)
        weight = self.weight.detach().float()
        scales = weight.abs().amax(1, keepdim=True).clamp_(min=_SMALLEST) / _WEIGHT_STEPS
        whole = (weight / scales).round_().to(torch.int8).contiguous()
        # No buffers: they are a copy of the weight, not state of the model.
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self._scales = scales[:, 0].contiguous()
        self._sums = whole.sum(1) * self._scales
        self._zeros = torch.zeros(self.out_features, dtype=torch.int32)
        bias: Tensor | None = base.bias
        self._shift = torch.zeros(self.out_features) if bias is None else bias.detach()
        self._steps = steps

    def product(self, x: Tensor) -> Tensor:
        """`x W + b` on whole numbers."""
        whole, scales, least = _quantised_once(x, self._steps)
        y = torch.ops.onednn.qlinear_pointwise.default(
            *(whole, 1.0, 0, self._packed, self._scales, self._zeros),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        torch.addcmul(self._shift, y, scales, out=y)
        return torch.addcmul(y, least, self._sums, out=y)

    def gelu_product(self, x: Tensor, form: str) -> Tensor:
        """`gelu(x W + b)` on whole numbers."""
        y = self.product(x)
        return cast(Tensor, torch.ops.aten.gelu.out(y, approximate=form, out=y))


def int8_packing() -> Packing:
    """How a backbone's linears are packed in int8 on this machine.

    Raises:
        SettingsError: this build of torch has no such products.
    """
    names = ("qlinear_prepack", "qlinear_pointwise")
    if not all(hasattr(torch.ops.onednn, name) for name in names):
        raise SettingsError("dtype is int8, but this build of torch lacks oneDNN; use float32.")
    steps = _STEPS if has_vnni() else STEPS_WITHOUT_VNNI

    def pack(module: nn.Module) -> nn.Module:
        return Int8Linear(cast(nn.Linear, module), steps) if is_linear(module) else module

    return pack


def has_vnni() -> bool:
    """Whether this CPU adds four products of bytes in 32 bits."""
    found = torch.cpu.get_capabilities()
    names = ("avx512_vnni", "avx_vnni", "amx_int8", "dotprod", "i8mm")
    return any(found.get(name, False) for name in names)


_last = threading.local()


def _quantised_once(x: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `quantise`; queries, keys and values are made of the same states, one after another."""
    seen, seen_steps, found = getattr(_last, "seen", (_nothing, 0, None))
    if seen() is not x or seen_steps != steps:
        found = quantise(x, steps)
        _last.seen = weakref.ref(x), steps, found
    return cast(tuple[Tensor, Tensor, Tensor], found)


def _nothing() -> None:
    """As a reference to what is gone."""


def quantise(x: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each token as whole numbers from 0, what one step is worth, and the token's least value.

    Args:
        x: states.
        steps: the largest whole number, 1 to 255.

    Shape: `[..., width]` to the same and twice `[..., 1]`.
    """
    least = x.amin(-1, keepdim=True)
    scales = x.amax(-1, keepdim=True).sub_(least).clamp_(min=_SMALLEST).div_(steps)
    # What is cut off behind the point rounds, for half a step is added before. The way to bytes
    # is by 16 bits because torch has no vector instructions for the direct one.
    # Where a step is less than a digit of the value, rounding would give one step too many.
    whole = x.sub(least - scales / 2).div_(scales).clamp_(max=steps)
    return whole.to(torch.int16).to(torch.uint8), scales, least
