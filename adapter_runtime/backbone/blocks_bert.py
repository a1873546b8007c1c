"""A layer of BERT and its kin on its plug points, without what their library asks at each call.

Signatures inspected, configurations looked up and outputs wrapped cost a short row a quarter of its
time. The frozen submodules stay the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.direct import Direct
from adapter_runtime.backbone.spans import RowSpans


class BertSelfAttention(Direct):
    """Queries, keys and values of the states, and the attention among them.

    Args:
        base: the library's module, whose linears are plug points already.
    """

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.query, self.key, self.value = base.query, base.key, base.value
        self.config, self.is_causal = base.config, base.is_causal
        self.scaling, self._width = base.scaling, base.attention_head_size
        self._attend = ALL_ATTENTION_FUNCTIONS[base.config._attn_implementation]

    def forward(self, hidden_states: Tensor, **options: Any) -> Tensor:
        """What each token attends to. Shape: `[..., tokens, width]` to the same."""
        shape = (*hidden_states.shape[:-1], -1, self._width)
        tokens = hidden_states.flatten(0, -2)
        query, key, value = (
            linear(tokens).view(shape).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        attended, _ = self._attend(
            self, query, key, value, None, scaling=self.scaling, dropout=0.0, **options
        )
        states: Tensor = attended.flatten(2)
        return states


class BertLayer(Direct):
    """One layer, post-LN.

    Args:
        attention: the routed self-attention.
        attention_output: dense, sum and norm after it.
        intermediate: the first half of the feed-forward sublayer.
        output: dense, sum and norm after it.
    """

    def __init__(
        self,
        attention: nn.Module,
        attention_output: nn.Module,
        intermediate: nn.Module,
        output: nn.Module,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_output = attention_output
        self.intermediate = intermediate
        self.output = output

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The layer's output. Shape: `[..., width]` to the same."""
        attended = self.attention_output(self.attention(hidden_states), hidden_states)
        closed: Tensor = self.output(self.intermediate(attended), attended)
        return closed


def bert_layer(layer: Any, _close: Close) -> nn.Module:
    """A layer whose parts are routed already."""
    routed = layer.attention.self
    routed.base = BertSelfAttention(routed.base)
    return BertLayer(routed, layer.attention.output, layer.intermediate, layer.output)


def call_bert(model: Any, inputs: Mapping[str, Any], _spans: RowSpans) -> Tensor:
    """The final states: embeddings, their projection where there is one, and the layers."""
    states: Tensor = model.embeddings(**inputs)
    if (project := getattr(model, "embeddings_project", None)) is not None:
        states = project(states)
    for layer in model.encoder.layer:
        states = layer(states)
    return states
