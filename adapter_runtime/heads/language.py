"""The layers that all language model heads share, and the matrix that they share with a backbone.

Each layer but the last is `Linear, activation, LayerNorm`; then the inverse of the adapter's
invertible block, if it has one; then the vocabulary. Canonical tensor names are `0.weight`,
`0.bias`, `0.norm.weight` … by layer, and `decoder.weight`, `decoder.bias`.

Source: `adapters` 1.3.0 `CausalLMHead`, `BertStyleMaskedLMHead`, `Seq2SeqLMHead`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from adapter_runtime.errors import RowFailed
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.layers import activation, as_array, layer_norm
from adapter_runtime.types import Arrays, Encoded, HeadSpec

DECODER = "decoder.weight"


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """A language model head without its weights.

    Args:
        layers: linear layers, the vocabulary's included; at least 1.
        width: of the states before the vocabulary; the backbone's embedding size as a rule.
        vocab_size: columns of the logits.
        activation: behind each layer but the last; None puts nothing there.
        norm_eps: the epsilon of the LayerNorm behind each of them; None where there is none.
        norm_bias: whether it has a bias.
        hidden_bias: whether the layers but the last have a bias.
        bias: whether the vocabulary has a bias.
        is_tied: the vocabulary is the backbone's own embedding matrix.
        scale: factor on the states before the first layer.
        inverts: takes the adapter's invertible block back before the vocabulary.
    """

    layers: int
    width: int
    vocab_size: int
    activation: str | None = None
    norm_eps: float | None = None
    norm_bias: bool = True
    hidden_bias: bool = True
    bias: bool = False
    is_tied: bool = False
    scale: float = 1.0
    inverts: bool = True


def language_shapes(settings: LanguageSettings, width: int) -> dict[str, tuple[int, ...]]:
    """The canonical tensors of a language model head, the decoder's last.

    Args:
        settings: the head.
        width: the backbone's hidden size.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(settings.layers - 1):
        shapes[f"{layer}.weight"] = (settings.width, width if layer == 0 else settings.width)
        if settings.hidden_bias:
            shapes[f"{layer}.bias"] = (settings.width,)
        if settings.norm_eps is not None:
            shapes[f"{layer}.norm.weight"] = (settings.width,)
            if settings.norm_bias:
                shapes[f"{layer}.norm.bias"] = (settings.width,)
    if settings.bias:
        shapes["decoder.bias"] = (settings.vocab_size,)
    if not settings.is_tied:
        shapes[DECODER] = (settings.vocab_size, settings.width)
    return shapes


def language_logits(
    spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
) -> list[np.ndarray]:
    """Logits of each row's marked tokens, or of all its tokens where it is raw or has no marks.

    A row's marks are its `word_starts`. Shape: `[marks, vocab]` or `[tokens, vocab]` each.
    """
    settings = cast(LanguageSettings, spec.settings)
    x = _transform(settings, weights, states.tokens())
    if settings.inverts:
        x = states.invert(x)
    lengths = [len(row) for row in states.rows()]
    wanted = [
        vectors if is_raw or row.word_starts is None else vectors[list(row.word_starts)]
        for vectors, row, is_raw in zip(torch.split(x, lengths), states.inputs, raw, strict=True)
    ]
    logits = as_array(_vocabulary(settings, weights, states, torch.cat(wanted)))
    return np.split(logits, np.cumsum([len(vectors) for vectors in wanted])[:-1])


def _transform(settings: LanguageSettings, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    if settings.scale != 1.0:
        x = x * settings.scale
    for layer in range(settings.layers - 1):
        x = nn.functional.linear(x, weights[f"{layer}.weight"], weights.get(f"{layer}.bias"))
        x = activation(settings.activation)(x) if settings.activation else x
        x = layer_norm(weights, f"{layer}.norm", settings.norm_eps, x)
    return x


def _vocabulary(
    settings: LanguageSettings, weights: Mapping[str, Tensor], states: HeadStates, x: Tensor
) -> Tensor:
    decoder = states.vocabulary if settings.is_tied else weights[DECODER]
    if decoder is None:
        raise RowFailed("The backbone shares no embedding matrix. This is a bug.")
    bias = weights.get("decoder.bias")
    # A copy of the embedding matrix in the head's dtype would cost more than its digits are worth.
    logits = nn.functional.linear(x.to(decoder), decoder).to(x)
    return logits if bias is None else logits + bias


@dataclass(frozen=True)
class LanguageHead:
    """What the heads with a vocabulary have in common: their logits."""

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`logits [marked tokens, vocab]` of each row, `[tokens, vocab]` where raw is asked for."""
        return [{"logits": found} for found in language_logits(spec, weights, states, raw)]

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`logits [tokens, vocab]`, an array: as lists a real vocabulary would fill the memory."""
        return {"logits": outcomes[0]["logits"]}
