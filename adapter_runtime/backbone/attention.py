"""Attention over a packed stream: each row sees itself only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from adapter_runtime.backbone.routing import Routing

PACKED_ATTENTION = "polyhead_packed"


def packed_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    routing: Routing,
    scaling: float | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attend within each row of the Routing, as `AttentionInterface` calls it.

    Shape: `[1, heads, tokens, width]` to `[1, tokens, heads, width]`.
    """
    spans = routing.spans
    attended = [
        scaled_dot_product_attention(q, k, v, scale=scaling).transpose(1, 2)
        for q, k, v in zip(
            query.split_with_sizes(spans.lengths, 2),
            key.split_with_sizes(spans.lengths, 2),
            value.split_with_sizes(spans.lengths, 2),
            strict=True,
        )
    ]
    return torch.cat(attended, 1), None


def register_attention() -> str:
    """Make packed attention known to transformers and say under which name."""
    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    return PACKED_ATTENTION
