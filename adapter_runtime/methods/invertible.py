"""Invertible adapters (NICE): behind the embeddings, and backwards before the vocabulary.

Source: https://arxiv.org/abs/2005.00052; class `NICECouplingBlock` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.products import grouped_down
from adapter_runtime.methods.stacks import StackedModuleParts, StackedTable, activation, bucket
from adapter_runtime.types import Part

Net = Callable[[Tensor], Tensor]
"""One of the two nets of a coupling block."""


@dataclass(frozen=True, slots=True)
class InvertibleSettings:
    """A coupling block.

    Args:
        activation: name of the activation between the two linears of each net.
        is_inverse: it undoes the block instead of applying it.
    """

    activation: str
    is_inverse: bool = False


class InvertibleTable(StackedModuleParts):
    """Stacked nets of blocks with equal settings and widths.

    The width between a net's linears is padded to a bucket: the columns of zeros behind it let
    nothing of the padding through, whatever the activation makes of zero.
    """

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        self._settings = _settings(part)
        self._activation = activation(self._settings.activation).to(device)
        tensors = part.tensors
        shapes: dict[str, tuple[int, ...]] = {}
        for net in "fg":
            narrow, width_in = tensors[f"{net}_down_weight"].shape
            width_out = len(tensors[f"{net}_up_bias"])
            shapes |= {
                f"{net}_down_weight": (bucket(narrow), width_in),
                f"{net}_down_bias": (bucket(narrow),),
                f"{net}_up_weight": (width_out, bucket(narrow)),
                f"{net}_up_bias": (width_out,),
            }
        apart = [name for name in shapes if name.endswith("_weight")]
        self._stacks = StackedTable(shapes, device, dtype, apart=apart)

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The changed states. Shape: `[tokens, embedding]`."""
        nets = (partial(self._net, groups, net) for net in "fg")
        return _couple(x, *nets, is_inverse=self._settings.is_inverse)

    def _net(self, groups: Groups, net: str, x: Tensor) -> Tensor:
        for layer in ("down", "up"):
            x = grouped_down(groups, x.contiguous(), self._stacks.rows(f"{net}_{layer}_weight"))
            x = x + groups.per_token(self._stacks[f"{net}_{layer}_bias"])
            x = self._activation(x) if layer == "down" else x
        return x.to(self._stacks["f_up_bias"].dtype)

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The changed states in the place of y."""
        return hidden


class Invertible(CommonMethod):
    """A NICE coupling block: `y1 = x1 + F(x2)`, `y2 = x2 + G(y1)`, or its inverse.

    Tensors: `{f,g}_{down,up}_{weight,bias}` as `nn.Linear` stores them; F reads the second half
    of the width, G the first. Only the first adapter of a composition has a say.
    """

    name = "invertible"
    chain = "invertible"
    first_only = True

    def table_key(self, part: Part) -> Hashable:
        """Settings, width and width buckets."""
        widths = (len(part.tensors[f"{net}_down_weight"]) for net in "fg")
        width = sum(len(part.tensors[f"{net}_up_bias"]) for net in "fg")
        return part.settings, width, tuple(map(bucket, widths))

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> InvertibleTable:
        """An empty table for Parts with this Part's key."""
        return InvertibleTable(part, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The changed states. Shape: `[tokens, embedding]`."""
        nets = (partial(_net, part, net) for net in "fg")
        return _couple(x, *nets, is_inverse=_settings(part).is_inverse)

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The changed states in the place of y."""
        return hidden


def _couple(x: Tensor, f: Net, g: Net, *, is_inverse: bool) -> Tensor:
    first, second = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
    if is_inverse:
        second = second - g(first)
        first = first - f(second)
    else:
        first = first + f(second)
        second = second + g(first)
    return torch.cat((first, second), 1)


def _net(part: Part, net: str, x: Tensor) -> Tensor:
    weights = {name: tensor.to(x) for name, tensor in part.tensors.items()}
    down = functional.linear(x, weights[f"{net}_down_weight"], weights[f"{net}_down_bias"])
    activated = activation(_settings(part).activation)(down)
    return functional.linear(activated, weights[f"{net}_up_weight"], weights[f"{net}_up_bias"])


def _settings(part: Part) -> InvertibleSettings:
    assert isinstance(part.settings, InvertibleSettings), "Foreign settings. This is a bug."
    return part.settings
