"""Attention on CUDA in half precision: all rows of a packed stream in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adapter_runtime.backbone.cuda import has_flash
from adapter_runtime.backbone.routing import CountedPrefix, Prefix
from adapter_runtime.backbone.spans import RowSpans, bounds

_HALVES = (torch.float16, torch.bfloat16)
_WIDTH_STEP, _MAX_WIDTH = 8, 256


def has_kernel(
    query: Tensor, value: Tensor, spans: RowSpans, prefixes: Sequence[Prefix | None] | None
) -> bool:
    """Whether `attend` can do what the loop over rows does.

    Args:
        query, value: the stream's states.
        spans: the rows.
        prefixes: keys and values before each row's own.

    Shape: `[1, heads, tokens, width]`.
    """
    width = query.shape[3]
    return (
        query.dtype in _HALVES
        and has_flash(query.device)
        and width == value.shape[3]
        and width <= _MAX_WIDTH
        and width % _WIDTH_STEP == 0
        # Rows of one token with fewer heads in the keys take a kernel that looks at the batch.
        and spans.longest > 1
        and not any(isinstance(prefix, CountedPrefix) for prefix in prefixes or ())
    )


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: RowSpans,
    prefixes: Sequence[Prefix | None] | None,
    *,
    is_causal: bool,
    window: int | None,
    scaling: float | None,
) -> Tensor:
    """Attend within each row and its prefix.

    Args:
        query, key, value: the stream's states.
        spans: the rows.
        prefixes: keys and values before each row's own.
        is_causal: a token sees only those before it and itself.
        window: how far a token sees, itself included; None for the whole row.
        scaling: of the scores; None for the usual one.

    Shape: `[1, heads, tokens, width]`, with as many or fewer heads in key and value, to
    `[1, tokens, heads, width]`.
    """
    # Imported here because only CUDA needs it, and it takes its time.
    from torch.nn.attention.varlen import varlen_attn

    # Lengths are read with prefixes alone: rows of a recorded forward have none on the host.
    most_keys = spans.longest
    ends = key_ends = spans.on(query.device).bounds
    if prefixes is not None and any(prefix is not None for prefix in prefixes):
        key_lengths = tuple(map(_num_keys, spans.lengths, prefixes))
        most_keys, key_ends = max(key_lengths), bounds(key_lengths, query.device)
        key = _after([prefix and prefix[0] for prefix in prefixes], key, spans.lengths)
        value = _after([prefix and prefix[1] for prefix in prefixes], value, spans.lengths)
    attended = varlen_attn(
        _as_tokens(query),
        _as_tokens(key),
        _as_tokens(value),
        ends,
        key_ends,
        spans.longest,
        most_keys,
        scale=scaling,
        window_size=_window(is_causal, window),
        enable_gqa=key.shape[1] != query.shape[1],
        # One split, whatever the batch: a row's sums are then added in one order.
        num_splits=1,
    )
    assert isinstance(attended, Tensor), "No auxiliary outputs were asked for. This is a bug."
    return attended.unsqueeze(0)


def _window(is_causal: bool, window: int | None) -> tuple[int, int]:
    """How many tokens to the left and to the right are seen; -1 for all."""
    before = -1 if window is None else window - 1
    return before, 0 if is_causal else before


def _num_keys(length: int, prefix: Prefix | None) -> int:
    return length if prefix is None else length + prefix[0].shape[1]


def _after(prefixes: Sequence[Tensor | None], states: Tensor, lengths: Sequence[int]) -> Tensor:
    """The states of each row after its prefix. Shape: `[1, heads, tokens, width]`."""
    pieces: list[Tensor] = []
    for prefix, row in zip(prefixes, states[0].split_with_sizes(list(lengths), 1), strict=True):
        pieces += [row] if prefix is None else [prefix, row]
    return torch.cat(pieces, 1).unsqueeze(0)


def _as_tokens(states: Tensor) -> Tensor:
    """Shape: `[1, heads, tokens, width]` to `[tokens, heads, width]`, dense along the width."""
    tokens = states[0].transpose(0, 1)
    return tokens if tokens.stride(2) == 1 else tokens.contiguous()
