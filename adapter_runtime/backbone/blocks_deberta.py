"""DeBERTa's disentangled attention over packed rows: contents, and vectors of relative positions.

Source: transformers `modeling_deberta.py` and `modeling_deberta_v2.py`. A prefix stands at no
relative position, as in `adapters` 1.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d
from transformers.activations import ACT2FN

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.points import RoutedAttention, RoutedModule
from adapter_runtime.backbone.relative import Relative, RelativeTable
from adapter_runtime.backbone.routing import Prefix, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.errors import BackboneError


class SeparateProjection(nn.Module):
    """DeBERTa v2 and v3: a linear each for queries, keys and values."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.query, self.key = attention.query_proj, attention.key_proj
        self.value = attention.value_proj
        self.num_heads: int = attention.num_attention_heads

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values. Shape: `[1, tokens, width]` to `[heads, tokens, size]` each."""
        query, key, value = (
            split_heads(linear(states), self.num_heads)[0]
            for linear in (self.query, self.key, self.value)
        )
        return query, key, value


class Shift(nn.Module):
    """A bias on its own.

    Args:
        bias: the frozen parameter. Shape: `[width]`.
    """

    def __init__(self, bias: nn.Parameter) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """`x + bias`. Shape: `[..., width]` to the same."""
        return x + self.bias


class FusedProjection(nn.Module):
    """DeBERTa v1: one linear for queries, keys and values, head by head."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.linear = attention.in_proj
        self.num_heads: int = attention.num_attention_heads
        self.query_shift, self.value_shift = attention.q_bias, attention.v_bias

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values. Shape: `[1, tokens, width]` to `[heads, tokens, size]` each."""
        query, key, value = split_heads(self.linear(states), self.num_heads)[0].chunk(3, -1)
        return self._shifted(query, self.query_shift), key, self._shifted(value, self.value_shift)

    def _shifted(self, states: Tensor, shift: RoutedModule) -> Tensor:
        if shift.work is None:
            bias: Tensor = shift.base.bias  # type: ignore[assignment]  # of a Shift
            return states + bias.view(self.num_heads, 1, -1)
        shifted = shift(states.transpose(0, 1).flatten(1))
        return split_heads(shifted.unsqueeze(0), self.num_heads)[0]


def split_heads(states: Tensor, num_heads: int) -> Tensor:
    """The heads apart. Shape: `[n, tokens, width]` to `[n, heads, tokens, size]`."""
    return states.view(*states.shape[:2], num_heads, -1).transpose(1, 2)


class Disentangled(nn.Module):
    """The attention of one layer.

    Args:
        project: makes queries, keys and values.
        scale: what all scores are divided by.
        position_key: makes keys of relative positions; None where contents seek no positions.
        position_query: makes queries of them; None where positions seek no contents.
    """

    def __init__(
        self,
        project: SeparateProjection | FusedProjection,
        scale: float,
        position_key: RoutedModule | None,
        position_query: RoutedModule | None,
    ) -> None:
        super().__init__()
        self.project = project
        self.scale = scale
        self.position_key = position_key
        self.position_query = position_query
        self._bare: tuple[Tensor | None, Tensor | None] | None = None

    def forward(
        self,
        hidden_states: Tensor,
        *_inputs: Any,
        routing: Routing,
        rel_embeddings: Relative | None = None,
        prefixes: Sequence[Prefix | None] | None = None,
        **_options: Any,
    ) -> tuple[Tensor, None]:
        """The attention's context. Shape: `[1, tokens, width]` to the same."""
        lengths = routing.spans.lengths
        rows = zip(
            *(states.split_with_sizes(lengths, 1) for states in self.project(hidden_states)),
            strict=True,
        )
        keys, queries = self._positions(rel_embeddings)
        found = []
        for row, (q, k, v) in enumerate(rows):
            scores = q @ k.transpose(1, 2)
            if rel_embeddings is not None:
                scores = scores + rel_embeddings.scores(row, q, k, keys, queries)
            found.append(self._attend(scores, q, v, prefixes[row] if prefixes else None))
        return torch.cat(found, 1).transpose(0, 1).flatten(1).unsqueeze(0), None

    def _attend(self, scores: Tensor, q: Tensor, v: Tensor, prefix: Prefix | None) -> Tensor:
        if prefix is not None:
            keys, values = prefix
            scores = torch.cat((q @ keys.transpose(1, 2), scores), 2)
            v = torch.cat((values, v), 1)
        return (scores / self.scale).softmax(-1) @ v

    def _positions(self, relative: Relative | None) -> tuple[Tensor | None, Tensor | None]:
        """Keys and queries of relative positions. Shape: `[tables, heads, vectors, size]` each."""
        if relative is None:
            return None, None
        if relative.work is not None:
            return self._projected(relative)
        if self._bare is None:
            # They are kept, and serve forwards with and without gradients.
            with torch.inference_mode(False), torch.no_grad():
                self._bare = self._projected(relative)
        return self._bare

    def _projected(self, relative: Relative) -> tuple[Tensor | None, Tensor | None]:
        keys, queries = (
            None
            if module is None
            else split_heads(relative.through(module), self.project.num_heads)
            for module in (self.position_key, self.position_query)
        )
        return keys, queries


def separate_attention(module: RoutedAttention, _close: Close) -> nn.Module:
    """A routed attention of DeBERTa v2 or v3."""
    attention: Any = module.base
    kinds = [kind for kind in ("c2p", "p2c") if kind in attention.pos_att_type]
    if attention.relative_attention and attention.share_att_key:
        key, query = attention.key_proj, attention.query_proj
    else:
        key = getattr(attention, "pos_key_proj", None)
        query = getattr(attention, "pos_query_proj", None)
    module.base = Disentangled(
        SeparateProjection(attention),
        (attention.attention_head_size * (1 + len(kinds))) ** 0.5,
        key if "c2p" in kinds else None,
        query if "p2c" in kinds else None,
    )
    return module


def fused_attention(module: RoutedAttention, _close: Close) -> nn.Module:
    """A routed attention of DeBERTa v1."""
    attention: Any = module.base
    if attention.talking_head:
        raise BackboneError("DeBERTa with talking_head is not supported; use another backbone.")
    module.base = Disentangled(
        FusedProjection(attention),
        (attention.attention_head_size * (1 + len(attention.pos_att_type))) ** 0.5,
        getattr(attention, "pos_proj", None),
        getattr(attention, "pos_q_proj", None),
    )
    return module


def call_deberta(model: Any, inputs: Mapping[str, Any], spans: RowSpans) -> Tensor:
    """The final states; the model's own forward compares all tokens of a stream with each other."""
    states = embedded = model.embeddings(**inputs)
    encoder = model.encoder
    relative = None
    if encoder.relative_attention:
        if not hasattr(encoder, "table"):
            encoder.table = RelativeTable(encoder, getattr(model.config, "share_att_key", False))
        relative = encoder.table.of(model.embeddings.scope.current)
    for number, layer in enumerate(encoder.layer):
        states = layer(states, None, rel_embeddings=relative)[0]
        if number == 0 and getattr(encoder, "conv", None) is not None:
            states = _convolved(encoder.conv, embedded, states, spans)
    final: Tensor = states
    return final


def _convolved(layer: Any, embedded: Tensor, states: Tensor, spans: RowSpans) -> Tensor:
    """The first layer's output with what a convolution finds in each row's embeddings."""
    conv: Any = layer.conv.base
    rows = embedded.transpose(1, 2).split_with_sizes(spans.lengths, 2)
    convolved = [
        conv1d(row, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        for row in rows
    ]
    # Adapters may change its bias, which is not told apart by rows.
    found = torch.cat(convolved, 2).transpose(1, 2).flatten(0, 1)
    shift, work = Shift(conv.bias), layer.conv.work
    found = shift(found) if work is None else work(shift, found)
    closed: Tensor = layer.LayerNorm(states + ACT2FN[layer.conv_act](found.view(states.shape)))
    return closed


def part_biases(model: Any) -> None:
    """Make modules of the biases that DeBERTa v1 holds as bare parameters, so that they are points.

    Args:
        model: the bare model, which is never run by its own code afterwards.
    """
    for layer in model.encoder.layer:
        attention = layer.attention.self
        for name in ("q_bias", "v_bias"):
            # The class makes them in float32, whatever the model is loaded in.
            bias = getattr(attention, name).detach().to(attention.in_proj.weight.dtype)
            delattr(attention, name)
            setattr(attention, name, Shift(nn.Parameter(bias, requires_grad=False)))
