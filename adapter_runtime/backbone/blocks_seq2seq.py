"""Layers of encoder-decoders, and how a decoder is fed what its encoder read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from adapter_runtime.backbone.attention import PositionBias
from adapter_runtime.backbone.points import RoutedSum
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.errors import BackboneError


class Sublayer(nn.Module):
    """A residual branch and its close, pre-LN or post-LN.

    Args:
        core: the branch; its output is a tensor, or a tuple that starts with it.
        close: the residual sum, and the norm after it in post-LN models.
        input_norm: the norm before the branch in pre-LN models.
    """

    def __init__(
        self, core: nn.Module, close: RoutedSum, input_norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.core = core
        self.close = close
        self.input_norm = input_norm

    def forward(self, states: Tensor, **options: Any) -> Tensor:
        """The sublayer's output; the options go to the branch. Shape: `[..., width]`."""
        entered = states if self.input_norm is None else self.input_norm(states)
        h = self.core(entered, **options)
        closed: Tensor = self.close(h if isinstance(h, Tensor) else h[0], states)
        return closed


class SequenceLayer(nn.Module):
    """A layer of an encoder, or of a decoder if it has cross attention."""

    def __init__(self, attention: Sublayer, ffn: Sublayer, cross: Sublayer | None = None) -> None:
        super().__init__()
        self.attention = attention
        self.cross = cross
        self.ffn = ffn

    def forward(
        self,
        states: Tensor,
        memory: Tensor | None = None,
        position_bias: PositionBias | None = None,
        cross_bias: PositionBias | None = None,
    ) -> Tensor:
        """The layer's output; `memory` is the encoder's. Shape: `[1, tokens, width]` each."""
        states = self.attention(states, position_bias=position_bias)
        if self.cross is not None:
            states = self.cross(states, key_value_states=memory, position_bias=cross_bias)
        closed: Tensor = self.ffn(states)
        return closed


FirstTokens = Callable[[Tensor, RowSpans], Tensor]
"""The token before each row of a packed stream. Shape: `[tokens]` to `[rows]`."""


def shift_right(ids: Tensor, spans: RowSpans, first: FirstTokens) -> Tensor:
    """Each row moved one token to the right: what the decoder reads of the encoder's input.

    Args:
        ids: the packed stream.
        spans: its rows.
        first: the token before each row.

    Shape: `[1, tokens]` to `[1, tokens]`.
    """
    shifted = ids.roll(1, 1)
    shifted[0, spans.on(ids.device).starts] = first(ids[0], spans)
    return shifted


def row_shifts(positions: Tensor, spans: RowSpans, first: int) -> Tensor:
    """How far each token's position is moved on from those of a row that starts at `first`.

    A prefix moves the decoder's positions only, so the encoder takes this off again.

    Shape: `[1, tokens]` to `[1, tokens]`.
    """
    placed = spans.on(positions.device)
    moved = positions[0, placed.starts] - first
    return moved[placed.token_rows].unsqueeze(0)


def start_token(model: PreTrainedModel) -> FirstTokens:
    """The rule of BART and T5: every row starts with one token that the config names.

    Raises:
        BackboneError: it names none.
    """
    token = getattr(model.config, "decoder_start_token_id", None)
    if token is None:
        raise BackboneError(
            "The backbone's config.json names no decoder_start_token_id; add the one that it was "
            "trained with, for T5 that of padding."
        )
    return lambda ids, spans: ids.new_full((len(spans),), int(token))


def last_token(padding: int) -> FirstTokens:
    """The rule of mBART and PLBART: a row's last token, counted without padding, wraps around."""

    def last(ids: Tensor, spans: RowSpans) -> Tensor:
        """The token at the number of those that are no padding; the last of a row without any."""
        placed = spans.on(ids.device)
        is_text = ids.ne(padding).long()
        counts = is_text.new_zeros(len(spans)).index_add_(0, placed.token_rows, is_text)
        return ids[placed.starts + counts.where(counts > 0, placed.lengths) - 1]

    return last


def each_layer(
    layers: Sequence[nn.Module], states: Tensor, memory: Tensor | None, **biases: Any
) -> Tensor:
    """States through all layers of a stack. Shape: `[1, tokens, width]`."""
    for layer in layers:
        states = layer(states, memory, **biases)
    return states
