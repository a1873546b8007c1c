from __future__ import annotations

from collections import deque
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.catalog.plans import RollbackRule
from serving.lifecycle.live.windows import Latencies, Traffic, Window
from serving.views import TrafficView

RULE = RollbackRule(error_rate=0.1, disagreement=0.1, min_requests=4)


@given(st.integers(1, 20), st.lists(st.booleans(), max_size=100))
def test_a_window_counts_the_last_outcomes_only(size: int, outcomes: list[bool]) -> None:
    """Its rate is that of a plain list of the last `size`."""
    window, last = Window(size), deque[bool](outcomes, maxlen=size)
    for outcome in outcomes:
        window.add(outcome)
    assert (sum(last) / len(last) if last else 0.0) == pytest.approx(window.rate())
    assert (len(outcomes) >= size) is window.is_full


def test_latencies_are_those_of_the_last_requests() -> None:
    """Half of them keep within the first, nearly all within the second; old ones are gone."""
    latencies = Latencies(100)
    for seconds in (*[900.0] * 100, *range(1, 101)):
        latencies.add(float(seconds))
    assert [50.0, 95.0] == latencies.quantiles(0.5, 0.95)


def test_one_request_is_every_quantile_and_none_is_none() -> None:
    """Nothing is invented before the first request."""
    latencies = Latencies()
    assert [None] == latencies.quantiles(0.5)
    latencies.add(2.0)
    assert [2.0, 2.0] == latencies.quantiles(0.01, 1.0)


def test_traffic_shows_what_was_counted() -> None:
    """Requests with their errors and latencies, comparisons with their differences."""
    traffic = Traffic()
    for seconds in (0.1, 0.2, 0.3):
        traffic.answered(seconds)
    traffic.failed()
    traffic.compared(True)
    traffic.compared(False)
    assert TrafficView(4, 1, 0.2, 0.3, 2, 1) == traffic.view()
    assert 4 == traffic.num_requests


def test_rates_are_known_once_the_window_is_full() -> None:
    """Three of four outcomes say nothing yet."""
    traffic = Traffic(RULE)
    for _ in range(3):
        traffic.answered(0.1)
        traffic.compared(True)
    assert (None, None) == (traffic.error_rate(), traffic.disagreement())
    traffic.failed()
    traffic.compared(False)
    assert (0.25, 0.25) == (traffic.error_rate(), traffic.disagreement())


def test_a_new_share_of_the_traffic_is_judged_anew() -> None:
    """Old failures do not count against it; what it answered in all stays."""
    traffic = Traffic(RULE)
    for _ in range(4):
        traffic.failed()
        traffic.compared(False)
    traffic.reset()
    assert (None, None) == (traffic.error_rate(), traffic.disagreement())
    assert TrafficView(4, 4, None, None, 4, 4) == traffic.view()
    for _ in range(4):
        traffic.answered(0.1)
    assert 0.0 == traffic.error_rate()


def test_the_same_rule_again_changes_nothing() -> None:
    """An edit of something else in the task file does not forget the failures."""
    traffic = Traffic(RULE)
    for _ in range(4):
        traffic.failed()
    traffic.follow(RollbackRule(0.1, 0.1, 4))
    assert 1.0 == traffic.error_rate()


def test_another_rule_is_followed_from_now_on() -> None:
    """With its own number of requests, and not at all without one."""
    traffic = Traffic()
    traffic.follow(RollbackRule(error_rate=0.1, min_requests=2))
    for _ in range(2):
        traffic.failed()
        traffic.compared(False)
    assert (1.0, None) == (traffic.error_rate(), traffic.disagreement())
    traffic.follow(RollbackRule(disagreement=0.1, min_requests=1))
    traffic.failed()
    traffic.compared(False)
    assert (None, 1.0) == (traffic.error_rate(), traffic.disagreement())
    traffic.follow(None)
    assert None is traffic.error_rate()


def test_threads_lose_no_count() -> None:
    """Workers and the event loop record side by side."""
    traffic = Traffic(RULE)

    def record() -> None:
        for _ in range(2_000):
            traffic.answered(0.1)
            traffic.failed()
            traffic.compared(False)

    threads = [Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    view = traffic.view()
    assert (16_000, 8_000, 8_000) == (view.requests, view.errors, view.disagreed)
    assert 1.0 == traffic.disagreement()
