"""GPT-2's layer with its plug points: pre-LN, both residual sums inline."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.points import ActivatedLinear, RoutedSum
from adapter_runtime.sites import Site


class GPT2Layer(nn.Module):
    """A decoder layer without cross-attention and without a cache.

    Args:
        layer: the Hugging Face layer, its leaves already plug points.
        attention_close: the sum after the attention.
        ffn_close: the sum after the feed-forward sublayer.
    """

    def __init__(self, layer: Any, attention_close: RoutedSum, ffn_close: RoutedSum) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = layer.ln_1, layer.ln_2
        self.attn = layer.attn
        self.attention_close = attention_close
        self.mlp = nn.Sequential(ActivatedLinear(layer.mlp.c_fc, layer.mlp.act), layer.mlp.c_proj)
        self.ffn_close = ffn_close

    def forward(self, hidden_states: Tensor, *_inputs: Any, **_options: Any) -> Tensor:
        """The layer's output. Shape: `[..., width]` to itself."""
        attended, _ = self.attn(self.ln_1(hidden_states))
        middle = self.attention_close(attended, hidden_states)
        closed: Tensor = self.ffn_close(self.mlp(self.ln_2(middle)), middle)
        return closed


def gpt2_layer(layer: Any, close: Close) -> nn.Module:
    """A routed GPT-2 layer."""
    return GPT2Layer(layer, close(Site.ATTENTION), close(Site.FFN))
