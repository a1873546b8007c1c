"""The attention of routed backbones: each row sees itself, and the prefix that stands before it.

Both functions are called as transformers' `AttentionInterface` calls them; what beside that they
read comes from the plug point around the attention module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from adapter_runtime.backbone import attention_cuda
from adapter_runtime.backbone.routing import CountedPrefix, Layout, Prefix, Routing

PACKED_ATTENTION, PADDED_ATTENTION = "polyhead_packed", "polyhead_padded"


class PositionBias(Protocol):
    """What attention adds to the scores of a row for the distance between its tokens."""

    def row(self, number: int, queries: int, keys: int) -> Tensor | None:
        """The bias of one row, or None where there is none.

        Args:
            number: the row of the stream.
            queries: tokens of the row.
            keys: tokens of the row and of the prefix before them.

        Shape: `[1, heads, queries, keys]`.
        """
        ...


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    routing: Routing,
    prefixes: Sequence[Prefix | None] | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    position_bias: PositionBias | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attend within each row of the Routing and its prefix.

    In cross attention row *i* of the decoder reads row *i* of the encoder, which is as long.

    Args:
        module: says by `is_causal` whether a token sees those after it.
        query, key, value: the stream's states.
        routing: the rows.
        prefixes: keys and values before each row's own.
        scaling: of the scores; None for the usual one.
        sliding_window: how far a token sees, itself included; None for the whole row.
        position_bias: what is added to the scores.

    Shape: `[1, heads, tokens, width]`, with as many or fewer heads in key and value, to
    `[1, tokens, heads, width]`.
    """
    sight = Sight(_is_causal(module), sliding_window)
    if position_bias is None and attention_cuda.has_kernel(query, value, routing.spans, prefixes):
        return attention_cuda.attend(
            *(query, key, value, routing.spans, prefixes),
            is_causal=sight.is_causal,
            window=sight.window,
            scaling=scaling,
        ), None
    lengths, dtype = routing.spans.lengths, query.dtype
    is_grouped = key.shape[1] != query.shape[1]
    if query.device.type == "cpu":  # its kernel takes longer for halves than for their double
        query, key, value = query.float(), key.float(), value.float()
    if prefixes is None and position_bias is None:
        return _alike(query, key, value, routing, sight, scaling, is_grouped).to(dtype), None
    attended = []
    for number, (q, k, v, prefix) in enumerate(
        zip(
            query.split_with_sizes(lengths, 2),
            key.split_with_sizes(lengths, 2),
            value.split_with_sizes(lengths, 2),
            prefixes or [None] * len(lengths),
            strict=True,
        )
    ):
        mask, is_causal = sight.of_row(q.shape[2], prefix, q.device)
        k, v = _after(sight.visible(prefix, q.shape[2]), k, v)
        bias = position_bias.row(number, q.shape[2], k.shape[2]) if position_bias else None
        if bias is not None:
            mask, is_causal = _add(bias.to(q.dtype), mask, is_causal), False
        row = scaled_dot_product_attention(
            q, k, v, mask, scale=scaling, is_causal=is_causal, enable_gqa=is_grouped
        )
        attended.append(row.transpose(1, 2))
    return torch.cat(attended, 1).to(dtype), None


def _alike(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    routing: Routing,
    sight: Sight,
    scaling: float | None,
    is_grouped: bool,
) -> Tensor:
    """Attend within each row; neighbours of one length in one call."""
    runs = routing.spans.alike
    sizes = [length * count for length, count in runs]
    attended = []
    for (length, count), *states in zip(
        runs, *(x.split_with_sizes(sizes, 2) for x in (query, key, value)), strict=True
    ):
        q, k, v = states if count == 1 else (_side_by_side(x, count) for x in states)
        mask, is_causal = sight.of_row(length, None, q.device)
        rows = scaled_dot_product_attention(
            q, k, v, mask, scale=scaling, is_causal=is_causal, enable_gqa=is_grouped
        ).transpose(1, 2)
        attended.append(rows if count == 1 else rows.flatten(0, 1).unsqueeze(0))
    return torch.cat(attended, 1)


def _side_by_side(x: Tensor, count: int) -> Tensor:
    """A view of `[1, heads, rows x tokens, width]` as `[rows, heads, tokens, width]`."""
    return x[0].view(x.shape[1], count, -1, x.shape[3]).transpose(0, 1)


def _add(bias: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """A bias with minus infinity where a token does not see a key."""
    if is_causal:
        mask = torch.ones(bias.shape[2:], dtype=torch.bool, device=bias.device).tril()
    return bias if mask is None else bias.masked_fill(~mask, -torch.inf)


def padded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    routing: Routing,
    prefixes: Sequence[Prefix | None] | None = None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attend within padded rows under the model's own mask, each after its prefix.

    Shape: `[rows, heads, tokens, width]`, with as many or fewer heads in key and value, to
    `[rows, tokens, heads, width]`.
    """
    is_grouped = key.shape[1] != query.shape[1]
    mask = attention_mask if position_bias is None else position_bias
    if attention_mask is not None and position_bias is not None:
        mask = attention_mask + position_bias
    if prefixes is None or not any(prefixes):
        attended = scaled_dot_product_attention(
            query, key, value, mask, scale=scaling, enable_gqa=is_grouped
        )
        return attended.transpose(1, 2), None
    rows = []
    for number, prefix in enumerate(prefixes):
        one = slice(number, number + 1)
        keys, values = _after(prefix, key[one], value[one])
        own = None if mask is None else mask[one if mask.shape[0] > 1 else slice(None)]
        if own is not None and prefix is not None:
            own = functional.pad(own, (prefix[0].shape[1], 0))
        rows.append(
            scaled_dot_product_attention(
                query[one], keys, values, own, scale=scaling, enable_gqa=is_grouped
            )
        )
    return torch.cat(rows).transpose(1, 2), None


def _is_causal(module: Any) -> bool:
    # Some decoders are trained as encoders, which their configuration says.
    is_decoder = getattr(getattr(module, "config", None), "is_causal", True)
    return bool(getattr(module, "is_causal", False) and is_decoder)


@dataclass(frozen=True, slots=True)
class Sight:
    """Which keys a token sees.

    Args:
        is_causal: only those before it and its own.
        window: only this many, its own included; in both directions where it is not causal.
    """

    is_causal: bool
    window: int | None

    def of_row(
        self, num_tokens: int, prefix: Prefix | None, device: torch.device
    ) -> tuple[Tensor | None, bool]:
        """A row's mask, or None and whether it is the causal one from the first key on.

        Shape: `[tokens, prefix + tokens]`, True where a token sees a key.
        """
        is_past = prefix is not None and not isinstance(prefix, CountedPrefix)
        before = prefix[0].shape[1] if prefix is not None and is_past else 0
        is_narrow = self._is_narrow(num_tokens + before)
        if not is_narrow and not (self.is_causal and before):
            return None, self.is_causal and num_tokens > 1
        mask = torch.ones(num_tokens, before + num_tokens, dtype=torch.bool, device=device)
        if self.is_causal:
            mask.tril_(before)
        if is_narrow and self.window is not None:
            mask.triu_(before - self.window + 1)
            if not self.is_causal:
                mask.tril_(before + self.window - 1)
        return mask, False

    def visible(self, prefix: Prefix | None, num_tokens: int) -> Prefix | None:
        """The prefix, unless the library's mask hides it."""
        is_hidden = isinstance(prefix, CountedPrefix) and self._has_mask(num_tokens)
        return None if is_hidden else prefix

    def _is_narrow(self, num_keys: int) -> bool:
        return self.window is not None and num_keys > self.window

    def _has_mask(self, num_tokens: int) -> bool:
        # `adapters` leaves the mask away only where rows are shorter than the window.
        return self.is_causal and self.window is not None and num_tokens >= self.window


def _after(prefix: Prefix | None, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    if prefix is None:
        return key, value
    keys, values = prefix
    return torch.cat((keys.unsqueeze(0), key), 2), torch.cat((values.unsqueeze(0), value), 2)


def register_attention(layout: Layout) -> str:
    """Make the attention of a layout known to transformers and say under which name."""
    if layout is Layout.PACKED:
        AttentionInterface.register(PACKED_ATTENTION, packed_attention)
        return PACKED_ATTENTION
    AttentionInterface.register(PADDED_ATTENTION, padded_attention)
    AttentionMaskInterface.register(PADDED_ATTENTION, eager_mask)
    return PADDED_ATTENTION
