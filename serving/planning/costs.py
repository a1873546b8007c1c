"""From measured batches to costs: fixed, per token, per task. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.planning.figures import BatchFigures

_LEAST_SLOPE = 0.1


@dataclass(frozen=True, slots=True)
class Costs:
    """What a batch costs a lane; seconds.

    Args:
        fixed_s: whatever is in it.
        token_s: for each token.
        task_s: for each different task beyond the first.
    """

    fixed_s: float
    token_s: float
    task_s: float

    def batch_s(self, tokens: float, tasks: float) -> float:
        """Seconds of a batch."""
        return self.fixed_s + self.token_s * tokens + self.task_s * max(0.0, tasks - 1)


def fit(batches: Sequence[BatchFigures]) -> Costs:
    """Costs from batches of one task at several sizes, and of many tasks at the same sizes.

    The line through the batches of one task minimises relative errors, so that small batches count
    as much as large ones. The bare backbone's batches stand in where there are no others.
    """
    line = [each for each in batches if each.tasks == 1] or list(batches)
    fixed_s, token_s = _line(line)
    return Costs(fixed_s, token_s, _per_task(batches))


def _line(batches: Sequence[BatchFigures]) -> tuple[float, float]:
    points = [(1 / each.seconds**2, each.tokens, each.seconds) for each in batches]
    total = sum(weight for weight, _, _ in points)
    mean_x = sum(weight * x for weight, x, _ in points) / total
    mean_y = sum(weight * y for weight, _, y in points) / total
    variance = sum(weight * (x - mean_x) ** 2 for weight, x, _ in points)
    covariance = sum(weight * (x - mean_x) * (y - mean_y) for weight, x, y in points)
    ratio = mean_y / mean_x
    slope = covariance / variance if variance else ratio
    slope = min(max(slope, _LEAST_SLOPE * ratio), ratio)
    return mean_y - slope * mean_x, slope


def _per_task(batches: Sequence[BatchFigures]) -> float:
    """What each further task adds: all differences over all further tasks; never negative."""
    one = {each.requests: each.seconds for each in batches if each.tasks == 1}
    many = [each for each in batches if each.tasks > 1 and each.requests in one]
    further = sum(each.tasks - 1 for each in many)
    return max(0.0, sum(each.seconds - one[each.requests] for each in many) / max(1, further))
