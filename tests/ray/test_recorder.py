"""Metrics as Ray's exporter gets them; `test_launcher` sees them come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from deploy.ray_serve import recorder
from deploy.ray_serve.recorder import RayRecorder
from serving.metrics import METRICS


class Family:
    """One of Ray's metrics, which keeps every series for good."""

    def __init__(self, name: str, text: str, *rest: Sequence[Any]) -> None:
        self.name, self.text, self.tags = name, text, rest[-1]
        self.series: dict[tuple[str, ...], list[float]] = {}

    def _take(self, value: float, tags: Mapping[str, str]) -> None:
        self.series.setdefault(tuple(tags[name] for name in self.tags), []).append(value)

    inc = observe = set = _take


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> RayRecorder:
    """A recorder for two tasks at most, whose words to Ray are kept."""
    for name in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(recorder.ray_metrics, name, Family)
    return RayRecorder(max_task_labels=2)


def test_ray_gets_every_metric_under_its_name(told: RayRecorder) -> None:
    """What is declared once is there and there."""
    assert {metric.name for metric in METRICS} == set(told._ray_families)


def test_a_measurement_goes_to_both(told: RayRecorder) -> None:
    """`/metrics` of a replica shows what Ray's exporter does."""
    told.add("polyhead_requests_total", "a", "200", value=3)
    told.observe("polyhead_request_seconds", 0.5, "a")
    told.put("polyhead_queue_rows", 7)
    assert {("a", "200"): [3]} == told._ray_families["polyhead_requests_total"].series
    assert {("a",): [0.5]} == told._ray_families["polyhead_request_seconds"].series
    assert {(): [7]} == told._ray_families["polyhead_queue_rows"].series
    assert b'polyhead_requests_total{status="200",task="a"} 3.0' in told.exposition()


def test_nothing_is_counted_by_nothing(told: RayRecorder) -> None:
    """Ray refuses it, and a forward without padding avoided must not fail for that."""
    told.add("polyhead_padding_avoided_tokens_total", value=0.0)
    assert {} == told._ray_families["polyhead_padding_avoided_tokens_total"].series


def test_a_gauge_without_a_value_is_zero_for_ray(told: RayRecorder) -> None:
    """Ray knows no way to take a series back."""
    told.put_all("polyhead_tasks", {("ready",): 2, ("checking",): 1})
    told.put_all("polyhead_tasks", {("ready",): 3})
    assert {("ready",): [2, 3], ("checking",): [1, 0]} == told._ray_families[
        "polyhead_tasks"
    ].series


def test_tasks_that_come_and_go_do_not_fill_rays_metrics(told: RayRecorder) -> None:
    """There a label is never given anew; the replica's own metrics forget who is gone."""
    for task in ("a", "b"):
        told.add("polyhead_quarantines_total", task)
    told.keep({})
    for task in ("c", "d"):
        told.add("polyhead_quarantines_total", task)
    assert {"a", "b", "_other"} == {
        task for (task,) in told._ray_families["polyhead_quarantines_total"].series
    }
    assert b'quarantines_total{task="c"} 1.0' in told.exposition()
    assert b'quarantines_total{task="a"}' not in told.exposition()
