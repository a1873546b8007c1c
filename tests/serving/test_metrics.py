"""The metrics: bounded labels, nothing stale, every event counted."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from adapter_runtime import (
    Average,
    Encoded,
    EngineStats,
    Kind,
    Leaf,
    Residency,
    Row,
    TaskSpec,
    Timing,
)
from serving.errors import ClientGone, DeadlineExceeded, Overloaded
from serving.lag import watch_lag
from serving.logs import About
from serving.metrics import METRICS, PrometheusRecorder
from serving.observing import UNKNOWN, Observer
from serving.origins import source_kind
from serving.scheduler.entries import Entry
from serving.service import Answer
from serving.task_labels import TaskLabels
from tests.serving.fake_engine import FakeEngine


class Watched:
    """An Observer with its recorder."""

    def __init__(self, max_task_labels: int = 2) -> None:
        self.recorder = PrometheusRecorder(max_task_labels)
        self.observer = Observer(self.recorder)

    def answer(self, task: str, version: str = "1") -> None:
        """One good answer."""
        answer = Answer((), Kind.TEXT_CLASSIFICATION, version, Residency.DEVICE, Timing())
        self.observer.answered(task, answer, 0.01)

    def values(self, name: str) -> dict[str, float]:
        """A metric's series by their label values, joined."""
        found = {}
        for line in self.recorder.exposition().decode().splitlines():
            if match := re.fullmatch(name + r"(?:\{(.*)\})? (\S+)", line):
                labels = re.findall(r'"([^"]*)"', match[1] or "")
                found[" ".join(labels)] = float(match[2])
        return found


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_labels_stand_in_the_order_that_bounding_relies_on() -> None:
    """`task` first, `version` second; whoever has a version has a task."""
    for metric in METRICS:
        assert metric.labels.index("task") == 0 if "task" in metric.labels else True, metric.name
        assert "version" not in metric.labels or metric.labels[:2] == ("task", "version")


def test_names_follow_the_conventions() -> None:
    """Counters end in _total, times in _seconds, and nothing is declared twice."""
    assert all((metric.kind == "counter") == metric.name.endswith("_total") for metric in METRICS)
    assert all(metric.text.endswith(".") for metric in METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_tasks_past_the_limit_share_a_label(watched: Watched) -> None:
    """In every metric that has one, and with their versions."""
    for task in ("a", "b", "c", "d"):
        watched.answer(task)
        watched.observer.refused(task, Overloaded("Full.", 1))
        watched.observer.quarantined(task)
    assert watched.values("polyhead_requests_total") == {
        "200 a": 1,
        "200 b": 1,
        "200 _other": 2,
        "429 a": 1,
        "429 b": 1,
        "429 _other": 2,
    }
    assert watched.values("polyhead_request_seconds_count") == {"a": 1, "b": 1, "_other": 2}
    assert watched.values("polyhead_quarantines_total") == {"a": 1, "b": 1, "_other": 2}
    assert set(watched.values("polyhead_version_requests_total")) == {
        "ok a 1",
        "ok b 1",
        "ok _other _other",
    }


def test_what_is_gone_leaves_no_series(watched: Watched) -> None:
    """A deleted task in no metric, a retired version in none; and there is room again."""
    watched.answer("a", "1")
    watched.answer("a", "2")
    watched.answer("b")
    watched.observer.compared("a", "1", agrees=False)
    watched.observer.refused(UNKNOWN, Overloaded("Full.", 1))
    watched.answer("c")
    watched.observer.present({"a": {"2": "device"}, "c": {"1": "host"}})
    exposed = watched.recorder.exposition().decode()
    assert 'task="b"' not in exposed
    assert 'version="1"' not in exposed
    assert watched.values("polyhead_version_requests_total") == {"ok a 2": 1, "ok _other _other": 1}
    assert watched.values("polyhead_requests_total") == {"200 a": 2, "429 -": 1, "200 _other": 1}
    watched.answer("c")
    assert watched.values("polyhead_requests_total")["200 c"] == 1


def test_residency_is_shown_by_task_and_tier(watched: Watched) -> None:
    """Tasks without a label of their own are added up; what has left memory is not shown."""
    versions = {"1": "device", "2": "host"}
    watched.observer.present({"a": versions, "b": {"1": "absent"}, "c": versions, "d": versions})
    assert watched.values("polyhead_resident_versions") == {
        "a device": 1,
        "a host": 1,
        "c device": 1,
        "c host": 1,
        "_other device": 1,
        "_other host": 1,
    }
    watched.observer.present({"a": {"1": "absent"}, "c": {}, "d": {}})
    assert watched.values("polyhead_resident_versions") == {}


def test_states_without_tasks_are_not_shown_for_ever(watched: Watched) -> None:
    """The gauge is what is true now."""
    stats = EngineStats(1, 2, 3, 4, 5)
    watched.observer.resident(stats, {"ready": 2, "rejected": 1})
    watched.observer.resident(stats, {"ready": 3})
    assert watched.values("polyhead_tasks") == {"ready": 3}


def test_everything_of_a_version_s_life_is_counted(watched: Watched) -> None:
    """Loads, verdicts, evictions, comparisons, rollbacks, reloads."""
    seen = watched.observer
    seen.loaded(0.2, "hub", "ok")
    seen.loaded(0.1, "hub", "failed")
    seen.admitted("rejected")
    seen.compared("a", "2", agrees=True)
    seen.compared("a", "2", agrees=False)
    seen.version_failed("a", "2")
    seen.copied("a", "2")
    seen.copied("a", "2", has_failed=True)
    seen.shadow_dropped("a")
    seen.rolled_back("a")
    seen.reloaded("failed")
    expected = {
        "polyhead_loads_total": {"ok hub": 1, "failed hub": 1},
        "polyhead_load_seconds_count": {"hub": 2},
        "polyhead_admissions_total": {"rejected": 1},
        "polyhead_compared_total": {"a 2": 2},
        "polyhead_disagreed_total": {"a 2": 1},
        "polyhead_version_requests_total": {
            "error a 2": 1,
            "copied a 2": 1,
            "copy_failed a 2": 1,
        },
        "polyhead_shadow_dropped_total": {"a": 1},
        "polyhead_rollbacks_total": {"a": 1},
        "polyhead_catalog_reloads_total": {"failed": 1},
    }
    assert {name: watched.values(name) for name in expected} == expected


def test_rows_that_never_ran_are_counted_by_why(watched: Watched) -> None:
    """Late ones, and those whose client has gone; others of the same input had run before."""
    late, gone = _entry(DeadlineExceeded("Late.")), _entry(ClientGone("Gone."))
    late.waiting.popleft()
    watched.observer.dropped([late, gone])
    assert watched.values("polyhead_dropped_rows_total") == {"late": 1, "cancelled": 2}


def _entry(error: Exception) -> Entry:
    version = FakeEngine().prepare(TaskSpec("a"))
    entry = Entry(version, Encoded((Row((1,)), Row((2,)))), 0.0, 1.0)
    entry.error = error
    return entry


def test_tokens_are_counted_by_task(watched: Watched) -> None:
    """Of all rows of an answered request."""
    answer = Answer((), Kind.TEXT_CLASSIFICATION, "1", Residency.DEVICE, Timing(), num_tokens=7)
    watched.observer.answered("a", answer, 0.01)
    watched.observer.answered("a", answer, 0.01)
    assert watched.values("polyhead_tokens_total") == {"a": 14}


def test_a_trace_is_an_example_of_what_it_took(watched: Watched) -> None:
    """Only where OpenMetrics is spoken, and only where there is a trace."""
    with About("r", "f" * 32):
        watched.answer("a")
    content, _ = watched.recorder.shown("application/openmetrics-text")
    (example,) = re.findall(r"polyhead_request_seconds_bucket.* # \{(.*?)\}", content.decode())
    assert example == f'trace_id="{"f" * 32}"'
    assert b"trace_id" not in watched.recorder.exposition()


async def test_lag_is_what_a_timer_is_late_by() -> None:
    """Whoever holds the loop up is seen."""
    seen: list[float] = []
    watch = asyncio.create_task(watch_lag(seen.append, 0.001))
    await asyncio.sleep(0)
    time.sleep(0.05)
    await asyncio.sleep(0.01)
    watch.cancel()
    assert max(seen) > 0.04


def test_evictions_are_counted_from_what_the_engine_says(watched: Watched) -> None:
    """It says how many there were so far, whenever it is asked."""
    for total in (2, 5, 5):
        watched.observer.resident(EngineStats(0, 0, 0, 0, 0, total, 1), {})
    assert watched.values("polyhead_evictions_total") == {"device": 5, "host": 1}


def test_versions_of_a_task_are_bounded_too() -> None:
    """However often a task is replaced between two looks at the metrics."""
    labels = TaskLabels(1, max_versions=2)
    assert labels.task("a") == "a"
    assert [labels.version("a", id) for id in ("1", "2", "3", "1")] == ["1", "2", "_other", "1"]
    labels.keep({"a": ["3"]})
    assert labels.version("a", "3") == "3"
    assert labels.task("b") == "_other"
    assert labels.version("_other", "1") == "_other"


def test_unknown_tasks_take_no_label(watched: Watched) -> None:
    """Whoever asks for random names must not push real tasks out."""
    for _ in range(3):
        watched.observer.refused(UNKNOWN, Overloaded("Full.", 1))
    watched.answer("a")
    watched.answer("b")
    assert set(watched.values("polyhead_requests_total")) == {"429 -", "200 a", "200 b"}


@pytest.mark.parametrize(
    ("adapter", "head", "kind"),
    (
        (None, None, "local"),
        (Leaf("/a"), None, "local"),
        (Leaf("pkg://a/b"), "/h", "package"),
        (Leaf("s3://a/b"), None, "remote"),
        (Leaf("/a"), "hf://o/n", "hub"),
        (Average((Leaf("hf://o/n"), Leaf("/a"))), "s3://h", "hub"),
    ),
)
def test_load_is_counted_by_its_farthest_source(
    adapter: Leaf | Average | None, head: str | None, kind: str
) -> None:
    """That is the one that takes the time."""
    assert source_kind(TaskSpec("a", adapter=adapter, head=head)) == kind
