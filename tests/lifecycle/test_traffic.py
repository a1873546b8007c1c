from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.lifecycle.live.traffic import Shares

IDS = ("a", "b", "c", "d", "e")
WEIGHTS = st.dictionaries(
    st.sampled_from(IDS), st.one_of(st.just(0.0), st.floats(0.01, 100)), min_size=1
).filter(lambda weights: any(weights.values()))


def picks(weights: dict[str, float], count: int) -> list[str]:
    """The choices of fresh shares under weights that stay."""
    shares = Shares()
    return [shares.pick(weights) for _ in range(count)]


def test_a_period_holds_the_weights_exactly_however_often_it_comes() -> None:
    """Of a hundred requests at 90 to 10 the canary gets ten, every time."""
    chosen = picks({"1": 90, "2": 10}, 5_000)
    periods = [Counter(chosen[start : start + 100]) for start in range(0, 5_000, 100)]
    assert [{"1": 90, "2": 10}] * 50 == periods


def test_a_light_id_is_spread_evenly() -> None:
    """A tenth of the traffic is every tenth request, not ten in a row."""
    chosen = picks({"1": 90, "2": 10}, 1_000)
    places = [place for place, id in enumerate(chosen) if id == "2"]
    assert {10} == {after - before for before, after in pairwise(places)}


def test_equal_weights_alternate() -> None:
    """Nobody goes twice while another waits."""
    assert {1} == {len(list(run)) for _, run in groupby(picks({"a": 5, "b": 5}, 100))}


@settings(max_examples=200, deadline=None)
@given(WEIGHTS, st.integers(1, 500))
def test_counts_stay_near_the_shares(weights: dict[str, float], count: int) -> None:
    """After any number of picks each id has what it is due, within two."""
    counts, total = Counter(picks(weights, count)), sum(weights.values())
    assert all(abs(counts[id] - count * weights[id] / total) < 2 for id in weights)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WEIGHTS, st.integers(1, 40)), min_size=1, max_size=20))
def test_counts_stay_near_the_shares_while_weights_and_ids_change(
    phases: list[tuple[dict[str, float], int]],
) -> None:
    """Who was absent, or had another weight, gets what it was due while it was there."""
    shares = Shares()
    counts: Counter[str] = Counter()
    due: Counter[str] = Counter()
    for weights, count in phases:
        total = sum(weights.values())
        for _ in range(count):
            counts[shares.pick(weights)] += 1
            for id, weight in weights.items():
                due[id] += weight / total  # type: ignore[assignment]
            assert all(abs(counts[id] - due[id]) < 2.5 for id in IDS)


def test_an_id_that_is_often_absent_is_not_passed_over() -> None:
    """Its credit is kept: else one that is ready at every other pick would never be chosen."""
    shares = Shares()
    chosen = [shares.pick({"a": 1, "b": 1} if turn % 2 else {"a": 1}) for turn in range(400)]
    assert 100 == pytest.approx(chosen.count("b"), abs=2)


def test_the_scale_of_weights_means_nothing() -> None:
    """From 90 to 10 to 0.9 to 0.1 nobody is owed a burst."""
    shares = Shares()
    for _ in range(105):
        shares.pick({"1": 90, "2": 10})
    chosen = Counter(shares.pick({"1": 0.9, "2": 0.1}) for _ in range(100))
    assert 10 == pytest.approx(chosen["2"], abs=1)


def test_weight_zero_gets_nothing() -> None:
    """Neither the first pick, nor what it was still owed when its weight was taken away."""
    shares = Shares()
    assert ["a", "b"] == [shares.pick({"a": 1, "b": 1, "c": 1}) for _ in range(2)]
    assert {"a", "b"} == {shares.pick({"a": 1, "b": 1, "c": 0}) for _ in range(10)}


@pytest.mark.parametrize("weights", ({}, {"a": 0.0}))
def test_nobody_to_pick_is_an_error(weights: dict[str, float]) -> None:
    """The caller decides what a task without candidates answers."""
    with pytest.raises(ValueError, match="no weight is above 0"):
        Shares().pick(weights)


def test_ids_that_never_return_are_forgotten_and_fairness_stays() -> None:
    """Thousands of replaced versions leave nothing behind, and the steady one keeps its half."""
    shares = Shares()
    chosen = [shares.pick({"steady": 1, f"v{turn}": 1}) for turn in range(5_000)]
    assert len(shares._credits) < 100
    assert 2_500 == pytest.approx(chosen.count("steady"), rel=0.05)
