"""How unevenly tasks are asked, by Zipf's law: the task of rank i gets a share like 1/i^s."""

from __future__ import annotations

import math
from functools import lru_cache


@lru_cache(maxsize=8)
def shares(num_tasks: int, exponent: float) -> tuple[float, ...]:
    """The share of requests of each task, the most popular first; they sum to 1."""
    weights = [(rank + 1) ** -exponent for rank in range(num_tasks)]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def top_share(count: int, num_tasks: int, exponent: float) -> float:
    """The share of requests that the `count` most popular tasks get."""
    if count >= num_tasks:
        return 1.0
    return sum(shares(num_tasks, exponent)[: max(0, count)])


def expected_tasks(requests: float, num_tasks: int, exponent: float) -> float:
    """How many different tasks so many requests ask, on average; at least 1."""
    found = (1.0 - (1.0 - share) ** requests for share in shares(num_tasks, exponent))
    return max(1.0, math.fsum(found))
