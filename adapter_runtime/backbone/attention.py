"""The attention of routed backbones: each row sees itself, and the prefix that stands before it.

Both functions are called as transformers' `AttentionInterface` calls them; what beside that they
read comes from the plug point around the attention module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from adapter_runtime.backbone.routing import Layout, Prefix, Routing

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
    position_bias: PositionBias | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attend within each row of the Routing and its prefix, as `AttentionInterface` calls it.

    A module that `is_causal` sees the prefix and the tokens up to its own. In cross attention row
    *i* of the decoder reads row *i* of the encoder, which is as long.

    Shape: `[1, heads, tokens, width]` to `[1, tokens, heads, width]`.
    """
    spans = routing.spans
    is_causal = bool(getattr(module, "is_causal", False))
    attended = []
    for number, (q, k, v) in enumerate(
        zip(
            query.split_with_sizes(spans.lengths, 2),
            key.split_with_sizes(spans.lengths, 2),
            value.split_with_sizes(spans.lengths, 2),
            strict=True,
        )
    ):
        keys, values = _after(prefixes[number] if prefixes else None, k, v)
        bias = position_bias and position_bias.row(number, q.shape[2], keys.shape[2])
        mask = _causal(q, keys, bias) if is_causal else bias
        attended.append(
            scaled_dot_product_attention(q, keys, values, mask, scale=scaling).transpose(1, 2)
        )
    return torch.cat(attended, 1), None


def _causal(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """The bias, and minus infinity where a key comes after its query."""
    queries, keys = query.shape[2], key.shape[2]
    seen = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    return seen if bias is None else bias.masked_fill(~seen, -torch.inf)


def _after(prefix: Prefix | None, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    if prefix is None:
        return key, value
    keys, values = prefix
    return torch.cat((keys.unsqueeze(0), key), 2), torch.cat((values.unsqueeze(0), value), 2)


def _visible(
    length: int,
    prefix: Prefix | None,
    is_causal: bool,
    sliding_window: int | None,
    device: torch.device,
) -> Tensor | None:
    """What each token of a row sees; None where it is all, or all before it.

    Shape: `[tokens, prefix + tokens]`.
    """
    window = sliding_window if sliding_window is not None and sliding_window < length else None
    if window is None and not (is_causal and prefix is not None):
        return None
    places = torch.arange(length, device=device)
    distance = places.unsqueeze(1) - places
    seen = distance >= 0 if is_causal else torch.ones_like(distance, dtype=torch.bool)
    if window is not None:
        seen &= distance.abs() < window
    return seen if prefix is None else functional.pad(seen, (prefix[0].shape[1], 0), value=True)


def _is_grouped(query: Tensor, key: Tensor) -> bool:
    return query.shape[1] != key.shape[1]


def _sum(mask: Tensor | None, bias: Tensor | None) -> Tensor | None:
    return bias if mask is None else mask if bias is None else mask + bias


def register_attention(layout: Layout) -> str:
    """Make the attention of a layout known to transformers and say under which name."""
    if layout is Layout.PACKED:
        AttentionInterface.register(PACKED_ATTENTION, packed_attention)
        return PACKED_ATTENTION
    AttentionInterface.register(PADDED_ATTENTION, padded_attention)
    AttentionMaskInterface.register(PADDED_ATTENTION, eager_mask)
    return PADDED_ATTENTION
