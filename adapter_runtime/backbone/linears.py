"""Frozen linears on CPU: weights packed once, bias and GELU inside the matrix product.

A plain linear packs its weight for the cache in every call, copies its bias into the output
first, and leaves GELU to walk once more over the widest tensor of the layer. The packed copies
cost as much memory again as the linears' weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import GELUActivation, GELUTanh, NewGELUActivation
from transformers.pytorch_utils import Conv1D

from adapter_runtime.backbone.direct import Direct

_PRODUCTS = ("_reorder_linear_weight", "_linear_pointwise")
_PACKED = (torch.float32, torch.bfloat16)


Packing = Callable[[nn.Module], nn.Module]
"""The module on packed weights where that is possible; else the module itself."""


class PackedLinear(Direct, nn.Linear):
    """A linear on packed weights in inference mode, the plain one where gradients may flow.

    Args:
        base: the frozen linear; weight and bias stay the same objects, GPT-2's weight a view.
    """

    def __init__(self, base: nn.Linear | Conv1D) -> None:
        nn.Module.__init__(self)
        weight, self.bias = base.weight, base.bias
        if isinstance(base, Conv1D):
            weight = nn.Parameter(weight.detach().t(), requires_grad=False)
        self.weight = weight
        self.out_features, self.in_features = weight.shape

    def forward(self, x: Tensor) -> Tensor:
        """`x W + b`. Shape: `[..., in]` to `[..., out]`."""
        if torch.is_inference_mode_enabled():
            return self.product(x)
        return super().forward(x)

    def gelu(self, x: Tensor, form: str = "none") -> Tensor:
        """`gelu(x W + b)` in a form of `gelu_form`. Shape: `[..., in]` to `[..., out]`."""
        if torch.is_inference_mode_enabled():
            return self.gelu_product(x, form)
        return functional.gelu(super().forward(x), approximate=form)

    @abstractmethod
    def product(self, x: Tensor) -> Tensor:
        """`x W + b` on the packed weights."""

    @abstractmethod
    def gelu_product(self, x: Tensor, form: str) -> Tensor:
        """`gelu(x W + b)` on the packed weights."""


class FusedLinear(PackedLinear):
    """A linear in its own dtype, through oneDNN.

    Args:
        base: the frozen linear, of float32 or bfloat16.
    """

    def __init__(self, base: nn.Linear | Conv1D) -> None:
        super().__init__(base)
        # No buffers: they are copies and views, not state of the model.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
        bias: Tensor | None = base.bias
        self._shift = None if bias is None else bias.detach()
        self._multiply = torch.ops.mkldnn._linear_pointwise.default

    def product(self, x: Tensor) -> Tensor:
        """`x W + b` on the packed weights."""
        return cast(Tensor, self._multiply(x, self._packed, self._shift, "none", [], ""))

    def gelu_product(self, x: Tensor, form: str) -> Tensor:
        """`gelu(x W + b)` on the packed weights."""
        return cast(Tensor, self._multiply(x, self._packed, self._shift, "gelu", [], form))


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a matrix product, in any library's writing."""
    return isinstance(module, (nn.Linear, Conv1D))


def weight_shape(module: nn.Module) -> tuple[int, ...]:
    """The shape of a module's weight, `(out, in)` for every linear; `()` where it has none."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor):
        return ()
    # GPT-2's linears store their weights the other way round.
    shape = tuple(weight.shape)
    return shape[::-1] if isinstance(module, Conv1D) else shape


def fuse(module: nn.Module) -> nn.Module:
    """The module with its product fused, where that is possible; else the module itself."""
    if not isinstance(module, (nn.Linear, Conv1D)):
        return module
    if not _has_products():
        return module
    weight = module.weight
    is_plain = weight.device.type == "cpu" and weight.dtype in _PACKED
    return FusedLinear(module) if is_plain else module


def _has_products() -> bool:
    """Whether this build of torch has oneDNN's products; they are no public interface."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return all(hasattr(torch.ops.mkldnn, name) for name in _PRODUCTS)


def gelu_form(activation: object) -> str | None:
    """The form of GELU that an activation is, as torch names it: `none` (exact) or `tanh`."""
    if isinstance(activation, (NewGELUActivation, GELUTanh)):
        return "tanh"
    is_exact = isinstance(activation, GELUActivation) and activation.act is functional.gelu
    return "none" if is_exact else None
