"""What batches that ran side by side add up to."""

from __future__ import annotations

from math import inf

import pytest

from serving.recent import Batch, busy_s


def batch(began_s: float, compute_s: float, load_s: float = 0.0) -> Batch:
    """One that began at some time."""
    return Batch("0" * 32, began_s, load_s, compute_s, 0.0, 1, 1, 1, 1, 0, ("a",), "lane")


@pytest.mark.parametrize(
    ("batches", "until_s", "expected"),
    (
        ((), inf, 0.0),
        ((batch(10, 2),), inf, 2.0),
        ((batch(10, 2), batch(13, 1)), inf, 3.0),
        ((batch(11, 2), batch(10, 2)), inf, 3.0),
        ((batch(10, 9), batch(11, 1)), inf, 9.0),
        ((batch(10, 2, load_s=5),), inf, 2.0),
        ((batch(10, 2), batch(11, 2)), 11.0, 1.0),
        ((batch(10, 2),), 9.0, 0.0),
    ),
)
def test_time_is_counted_once(batches: tuple[Batch, ...], until_s: float, expected: float) -> None:
    """However many lanes computed in it; bringing weights in is no computing."""
    assert busy_s(batches, until_s) == pytest.approx(expected)
