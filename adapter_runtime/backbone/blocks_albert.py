"""ALBERT's layer, which writes both residual sums inline, and its pooler of two pieces."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.points import ActivatedLinear, RoutedAttention, RoutedSum
from adapter_runtime.backbone.routing import work_at
from adapter_runtime.sites import PlugPoint, Site


class AlbertCore(nn.Module):
    """The attention without its residual sum.

    Args:
        attention: the Hugging Face module.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.config = attention.config
        self.is_causal = False
        self.head_size: int = attention.attention_head_size
        self.scaling: float = attention.scaling
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        self.dense = attention.dense

    def forward(self, hidden_states: Tensor, **options: Any) -> Tensor:
        """The output projection's states; the options go on to the attention function.

        Shape: `[..., tokens, width]` to the same.
        """
        shape = (*hidden_states.shape[:-1], -1, self.head_size)
        query, key, value = (
            project(hidden_states).view(shape).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        context, _ = attend(self, query, key, value, None, scaling=self.scaling, **options)
        projected: Tensor = self.dense(context.reshape(*hidden_states.shape[:-1], -1))
        return projected


class SwappedSum(RoutedSum):
    """A sublayer's end where blocks take the residual for the output, and the output for it.

    The `adapters` library hands them to ALBERT's attention adapters in that order.
    """

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        """The sublayer's output; may write into h. Shape: `[..., width]` each."""
        is_active = work_at(self.scope, self.point) is not None
        return super().forward(residual, h) if is_active else super().forward(h, residual)


class AlbertBlock(nn.Module):
    """An ALBERT layer."""

    def __init__(
        self, attention: nn.Module, attention_close: RoutedSum, ffn: nn.Module, ffn_close: RoutedSum
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_close = attention_close
        self.ffn = ffn
        self.ffn_close = ffn_close

    def forward(self, hidden_states: Tensor, *_inputs: Any, **_options: Any) -> Tensor:
        """The layer's output. Shape: `[..., tokens, width]` to the same."""
        middle = self.attention_close(self.attention(hidden_states), hidden_states)
        closed: Tensor = self.ffn_close(self.ffn(middle), middle)
        return closed


def albert_block(module: Any, close: Close) -> nn.Module:
    """A routed ALBERT layer."""
    attention: RoutedAttention = module.attention
    base: Any = attention.base
    point = PlugPoint(close.layer, Site.ATTENTION)
    attention_close = SwappedSum(base.LayerNorm, point, close.scope)
    attention.base = AlbertCore(base)
    ffn = nn.Sequential(ActivatedLinear(module.ffn, module.activation), module.ffn_output)
    ffn_close = close(Site.FFN, module.full_layer_layer_norm)
    return AlbertBlock(attention, attention_close, ffn, ffn_close)


class AlbertPooler(nn.Module):
    """The pooler of other families' form."""

    def __init__(self, dense: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.dense = dense
        self.activation = activation

    def forward(self, hidden_states: Tensor) -> Tensor:
        """What stands for each row. Shape: `[rows, tokens, width]` to `[rows, width]`."""
        pooled: Tensor = self.activation(self.dense(hidden_states[:, 0]))
        return pooled


def albert_pooler(model: Any) -> nn.Module | None:
    """The pooler of a bare ALBERT."""
    return model.pooler and AlbertPooler(model.pooler, model.pooler_activation)
