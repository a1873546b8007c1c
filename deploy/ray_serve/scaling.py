"""How many replicas the waiting tokens ask for: a pure rule, and the policy that Ray calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

QUEUED_TOKENS = "queued_tokens"
"""What replicas report; see `Replica.record_autoscaling_stats`."""
_CALM = 0.5
"""A replica goes only where the others would then have no more than this share of the target:
at the target itself, it would be back at once."""


def replicas_for(
    queued_tokens: float, target_tokens: float, current: int, waiting_requests: float = 0.0
) -> int:
    """The replicas that a backlog asks for: up at once, down one by one.

    Args:
        queued_tokens: tokens that wait for the devices of all replicas, 0 or more.
        target_tokens: tokens that may wait for one replica's device, more than 0.
        current: replicas now.
        waiting_requests: requests that no replica has room for yet.
    """
    wanted = math.ceil(queued_tokens / target_tokens)
    if waiting_requests >= 1:
        return max(wanted, current + 1)
    if wanted >= current:
        return wanted
    others = current - 1
    is_calm = queued_tokens <= _CALM * target_tokens * others
    return others if is_calm else current


class QueuedTokensPolicy:
    """Ray's autoscaling policy on queued tokens; Ray applies the bounds and the delays.

    Args:
        target_tokens: tokens that may wait for one replica's device, more than 0.
    """

    def __init__(self, target_tokens: float) -> None:
        self._target_tokens = target_tokens

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The replicas wanted, and the policy's state, which is none."""
        measured: Mapping[Any, float] = (context.aggregated_metrics or {}).get(QUEUED_TOKENS, {})
        waiting = context.total_queued_requests or 0.0
        current = context.target_num_replicas
        return replicas_for(sum(measured.values()), self._target_tokens, current, waiting), {}
