"""How many replicas a backlog asks for."""

from __future__ import annotations

from typing import Any

import pytest
from ray.serve.config import AutoscalingContext

from deploy.ray_serve.scaling import QUEUED_TOKENS, QueuedTokensPolicy, replicas_for


@pytest.mark.parametrize(
    ("tokens", "current", "waiting", "wanted"),
    (
        (0, 1, 0, 0),
        (900, 1, 0, 1),
        (1001, 1, 0, 2),
        (5500, 2, 0, 6),
        (1500, 3, 0, 3),
        (900, 3, 0, 2),
        (0, 5, 0, 4),
        (100, 2, 1, 3),
        (9000, 2, 5, 9),
        (100, 2, 0.4, 1),
    ),
)
def test_replicas_for_a_backlog(tokens: float, current: int, waiting: float, wanted: int) -> None:
    """Up at once to what the target asks for, down one by one, up where requests find no room."""
    assert replicas_for(tokens, 1000, current, waiting) == wanted


def context(measured: dict[str, dict[Any, float]] | None, replicas: int) -> AutoscalingContext:
    """What Ray hands to a policy."""
    given: dict[str, Any] = dict.fromkeys(
        ("deployment_id", "deployment_name", "app_name", "raw_metrics", "last_scale_up_time")
    )
    given |= dict.fromkeys(("last_scale_down_time", "current_time", "config"))
    return AutoscalingContext(
        **given,
        current_num_replicas=replicas,
        target_num_replicas=replicas,
        running_replicas=[],
        total_num_requests=0.0,
        total_queued_requests=0.0,
        aggregated_metrics=measured,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=9,
        policy_state={},
    )


@pytest.mark.parametrize(
    ("measured", "wanted"),
    (({QUEUED_TOKENS: {"a": 2500.0, "b": 1400.0}}, 4), ({}, 1), (None, 1)),
    ids=("measured", "nothing yet", "none"),
)
def test_the_policy_adds_up_what_replicas_report(
    measured: dict[str, dict[Any, float]] | None, wanted: int
) -> None:
    """Ray calls the policy with each replica's figure; no figure is no backlog."""
    assert QueuedTokensPolicy(target_tokens=1000)(context(measured, 2)) == (wanted, {})
