"""The layer of Llama and its kin with its plug points: pre-LN, both residual sums inline."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.points import RoutedHook, RoutedSum
from adapter_runtime.sites import Site


class HookedSum(nn.Module):
    """The residual sum of a hooked model: blocks change what is added, not the sum.

    Args:
        hook: the point at the sublayer's last projection.
    """

    def __init__(self, hook: RoutedHook) -> None:
        super().__init__()
        self.hook = hook

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        """The sublayer's output. Shape: `[..., width]` each."""
        changed: Tensor = self.hook(h, residual)
        return changed + residual


class LlamaLayer(nn.Module):
    """A decoder layer without a cache.

    Args:
        layer: the Hugging Face layer, its leaves already plug points.
        attention_close: the sum after the attention.
        ffn_close: the sum after the feed-forward sublayer.
    """

    def __init__(
        self, layer: Any, attention_close: RoutedSum | HookedSum, ffn_close: RoutedSum | HookedSum
    ) -> None:
        super().__init__()
        self.input_layernorm = layer.input_layernorm
        self.self_attn = layer.self_attn
        self.attention_close = attention_close
        self.post_attention_layernorm = layer.post_attention_layernorm
        self.mlp = layer.mlp
        self.ffn_close = ffn_close

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **_options: Any,
    ) -> Tensor:
        """The layer's output. Shape: `[..., width]` to itself."""
        attended, _ = self.self_attn(
            self.input_layernorm(hidden_states),
            position_embeddings=position_embeddings,
            attention_mask=None,
        )
        middle = self.attention_close(attended, hidden_states)
        fed = self.mlp(self.post_attention_layernorm(middle))
        closed: Tensor = self.ffn_close(fed, middle)
        return closed


def llama_layer(layer: Any, close: Close) -> nn.Module:
    """A routed layer of a model that the `adapters` library has classes of its own for."""
    return LlamaLayer(layer, close(Site.ATTENTION), close(Site.FFN))


def hooked_llama_layer(layer: Any, close: Close) -> nn.Module:
    """A routed layer of a model that the `adapters` library hooks from outside."""
    return LlamaLayer(layer, HookedSum(close.hook(Site.ATTENTION)), HookedSum(close.hook(Site.FFN)))
