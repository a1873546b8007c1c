"""Attention over a packed stream: each row sees itself only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from adapter_runtime.backbone.routing import Prefix, Routing

PACKED_ATTENTION = "polyhead_packed"


def packed_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    routing: Routing,
    prefixes: Sequence[Prefix | None] | None = None,
    scaling: float | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attend within each row of the Routing and its prefix, as `AttentionInterface` calls it.

    Shape: `[1, heads, tokens, width]` to `[1, tokens, heads, width]`.
    """
    spans = routing.spans
    attended = [
        scaled_dot_product_attention(q, *_after(prefix, k, v), scale=scaling).transpose(1, 2)
        for q, k, v, prefix in zip(
            query.split_with_sizes(spans.lengths, 2),
            key.split_with_sizes(spans.lengths, 2),
            value.split_with_sizes(spans.lengths, 2),
            prefixes or [None] * len(spans),
            strict=True,
        )
    ]
    return torch.cat(attended, 1), None


def _after(prefix: Prefix | None, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    if prefix is None:
        return key, value
    keys, values = prefix
    return torch.cat((keys.unsqueeze(0), key), 2), torch.cat((values.unsqueeze(0), value), 2)


def register_attention() -> str:
    """Make packed attention known to transformers and say under which name."""
    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    return PACKED_ATTENTION
