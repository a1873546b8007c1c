"""Blocks around plug points; they reuse the frozen submodules of what they replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from adapter_runtime.backbone.direct import Direct
from adapter_runtime.backbone.points import (
    ActivatedLinear,
    OuterNorm,
    RoutedHook,
    RoutedModule,
    RoutedSum,
)
from adapter_runtime.backbone.routing import RouteScope
from adapter_runtime.sites import PlugPoint, Site


@dataclass(frozen=True)
class Close:
    """Makes the plug points at the ends of one layer's sublayers.

    Args:
        layer: the layer's number.
        scope: the backbone's Routings.
        model: the model that the layer belongs to.
    """

    layer: int
    scope: RouteScope
    model: Any = None

    def __call__(self, site: Site, norm: nn.Module | None = None) -> RoutedSum:
        """The residual sum, and the LayerNorm after it where the model is post-LN."""
        assert norm is None or isinstance(norm, RoutedModule), (
            "A sublayer's norm is a plug point. This is a bug."
        )
        return RoutedSum(norm, PlugPoint(self.layer, site), self.scope)

    def hook(self, site: Site, norm: nn.Module | None = None) -> RoutedHook:
        """The point of a hooked model; the sum around it stays the model's own."""
        return RoutedHook(OuterNorm(norm), PlugPoint(self.layer, site), self.scope)


MakeBlock = Callable[[Any, Close], nn.Module]
"""Makes the replacement of a Hugging Face module."""


class OutputBlock(Direct):
    """`LayerNorm(dense(x) + residual)`, as BERT and its kin end a sublayer."""

    def __init__(self, dense: nn.Module, close: RoutedSum) -> None:
        super().__init__()
        self.dense = dense
        self.close = close

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """The sublayer's output. Shape: `[..., in]` and `[..., width]` to `[..., width]`."""
        closed: Tensor = self.close(self.dense(hidden_states), input_tensor)
        return closed


class DistilBertBlock(Direct):
    """A DistilBERT layer, which writes both residual sums inline."""

    def __init__(
        self, attention: nn.Module, attention_close: RoutedSum, ffn: nn.Module, ffn_close: RoutedSum
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_close = attention_close
        self.ffn = ffn
        self.ffn_close = ffn_close

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        """The layer's output; the options go on to the attention function."""
        attended, _ = self.attention(hidden_states, attention_mask=attention_mask, **options)
        middle = self.attention_close(attended, hidden_states)
        closed: Tensor = self.ffn_close(self.ffn(middle), middle)
        return closed


class MPNetAttention(Direct):
    """MPNet's attention sublayer, which writes its residual sum inline."""

    def __init__(self, attn: nn.Module, close: RoutedSum) -> None:
        super().__init__()
        self.attn = attn
        self.close = close

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        **_options: Any,
    ) -> tuple[Tensor]:
        """The sublayer's output in a tuple, as the layer expects it."""
        attended = self.attn(hidden_states, attention_mask, position_bias)[0]
        return (self.close(attended, hidden_states),)


def output_block(site: Site) -> MakeBlock:
    """The maker of an `OutputBlock` that ends the sublayer of `site`."""
    return lambda module, close: OutputBlock(module.dense, close(site, module.LayerNorm))


def intermediate_block(module: Any, _close: Close) -> nn.Module:
    """The first half of a feed-forward sublayer, as BERT and its kin write it."""
    return ActivatedLinear(module.dense, module.intermediate_act_fn)


def distilbert_block(module: Any, close: Close) -> nn.Module:
    """A routed DistilBERT layer."""
    attention_close = close(Site.ATTENTION, module.sa_layer_norm)
    ffn_close = close(Site.FFN, module.output_layer_norm)
    ffn = nn.Sequential(ActivatedLinear(module.ffn.lin1, module.ffn.activation), module.ffn.lin2)
    return DistilBertBlock(module.attention, attention_close, ffn, ffn_close)


def mpnet_attention(module: Any, close: Close) -> nn.Module:
    """A routed MPNet attention sublayer."""
    return MPNetAttention(module.attn, close(Site.ATTENTION, module.LayerNorm))
