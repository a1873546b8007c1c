"""Frozen linears in int8: activations quantised token by token, weights channel by channel.

Each token has a scale of its own, so no row's answer depends on its neighbours. The product is
oneDNN's of unsigned by signed bytes, whose sums are exact; what one scale per token leaves to do
after it, together with the bias, is one pass over the output.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adapter_runtime.backbone.linears import PackedLinear, Packing, is_linear
from adapter_runtime.errors import SettingsError

_WEIGHT_STEPS = 127
_STEPS = 127
STEPS_WITHOUT_VNNI = 63
"""Before VNNI two products are added in 16 bits, which whole bytes would overflow."""
_SMALLEST = torch.finfo(torch.float32).tiny


class Int8Linear(PackedLinear):
    """A linear in int8 in inference mode; its float weights stay, for adapters that read them.

    Args:
        base: the frozen linear, of float32.
        steps: an activation's largest magnitude as a whole number, 1 to 127.
    """

    def __init__(self, base: nn.Linear | Conv1D, steps: int) -> None:
        super().__init__(base)
        weight = self.weight.detach().float()
        scales = weight.abs().amax(1, keepdim=True).clamp_(min=_SMALLEST) / _WEIGHT_STEPS
        whole = (weight / scales).round_().to(torch.int8).contiguous()
        # No buffers: they are a copy of the weight, not state of the model.
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self._scales = scales[:, 0].contiguous()
        self._zeros = torch.zeros(self.out_features, dtype=torch.int32)
        bias: Tensor | None = base.bias
        self._shift = torch.zeros(self.out_features) if bias is None else bias.detach()
        self._steps = steps

    def product(self, x: Tensor) -> Tensor:
        """`x W + b` on whole numbers."""
        whole, scales = quantise(x, self._steps)
        y = torch.ops.onednn.qlinear_pointwise(
            *(whole, 1.0, self._steps + 1, self._packed, self._scales, self._zeros),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        return torch.addcmul(self._shift, y, scales, out=y)

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


def quantise(x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Bytes around `steps + 1` for each token, and what one step of them is worth.

    Args:
        x: states.
        steps: the largest magnitude as a whole number, 1 to 127.

    Shape: `[..., width]` to the same and `[..., 1]`.
    """
    largest = torch.maximum(x.amax(-1, keepdim=True), x.amin(-1, keepdim=True).neg_())
    scales = largest.clamp_(min=_SMALLEST).div_(steps)
    whole = (x / scales).round_().to(torch.int8)
    # Unsigned bytes wrap around, so the sum is right for negative ones too.
    return whole.view(torch.uint8).add_(steps + 1), scales
