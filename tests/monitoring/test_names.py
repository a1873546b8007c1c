"""Every name in rules, dashboard and trigger is one that a server shows."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from serving.errors import STATUS
from serving.metrics import METRICS
from tests.monitoring.files import (
    ALERTS,
    RECORDED,
    Query,
    dashboard,
    panels,
    queries,
    rules,
    scaling,
)
from tests.monitoring.promql import SUFFIXES, Labelled, UnknownName

RAISED_IN_PEACE = {"loading", "draining"}
"""Server errors that a client asked for, or that a rollout brings."""


def labelled() -> Labelled:
    return Labelled(dict(RECORDED))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_asks_for_what_is_shown(rule: dict[str, object]) -> None:
    """Metrics and labels exist; what an alert's words name is among the labels of its answer."""
    found = labelled().labels(str(rule["expr"]))
    words = re.findall(r"\$labels\.(\w+)", str(rule.get("annotations", "")))
    assert [word for word in words if word not in found] == []


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.panel)
def test_panel_asks_for_what_is_shown(query: Query) -> None:
    """Metrics and labels exist, and those that name a line are among the labels of the answer."""
    found = labelled().labels(query.expression)
    assert [word for word in re.findall(r"\{\{(\w+)\}\}", query.legend) if word not in found] == []


def test_trigger_asks_for_what_is_shown() -> None:
    """KEDA's queries."""
    assert [labelled().labels(query) for query in scaling()] == [frozenset()] * 2


@pytest.mark.parametrize(
    "wrong",
    (
        "polyhead_request_total",
        "rate(polyhead_request_seconds[5m])",
        'polyhead_requests_total{code="500"}',
        "sum by (version) (polyhead_requests_total)",
        "histogram_quantile(0.9, sum by (task) (polyhead_request_seconds_bucket))",
        "sum by (task) (polyhead_requests_total) / sum by (job) (polyhead_requests_total)",
        "polyhead:unheard",
    ),
)
def test_other_names_are_found(wrong: str) -> None:
    """So that the tests above can fail."""
    with pytest.raises(UnknownName):
        labelled().labels(wrong)


def test_every_metric_is_on_the_dashboard() -> None:
    """None is recorded for nobody."""
    every = labelled()
    for query in queries():
        every.labels(query.expression)
    shown = {
        metric.name
        for metric in METRICS
        for suffix in SUFFIXES[metric.kind]
        if f"{metric.name}{suffix}" in every.seen
    }
    assert shown == {metric.name for metric in METRICS}


def test_failures_are_the_codes_of_server_errors() -> None:
    """Those of the table of statuses, but for what is no fault."""
    failing = {
        getattr(kind, "code", "internal_error") for kind, status in STATUS.items() if status >= 500
    }
    (codes,) = re.findall(r'code=~"([^"]*)"', RECORDED["polyhead:failures:rate5m"])
    assert codes.split("|") == sorted(failing - RAISED_IN_PEACE)


def test_every_recorded_series_is_used() -> None:
    """A rule that nobody reads costs, and misleads."""
    text = " ".join(rule["expr"] for rule in ALERTS.values())
    assert [name for name in RECORDED if name not in text] == []


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    """Each has a text, a title of its own in its row, and a place of its own."""
    boxes = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = Counter(
        (x, y)
        for box in boxes
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    )
    assert set(cells.values()) == {1}
    assert max(x for x, _ in cells) == 23
    assert all(panel["description"] and panel["title"] for panel in panels())
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(boxes)


def test_variables_are_used_and_have_values() -> None:
    """Job, namespace and task choose what is shown; they are filled from series that exist."""
    variables = {each["name"]: each for each in dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "namespace", "task"}
    text = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    assert all(f"${name}" in text for name in ("job", "namespace", "task"))
    for name in ("job", "namespace", "task"):
        (inside,) = re.findall(r"label_values\((.*), (\w+)\)", variables[name]["definition"])
        assert inside[1] == name
        assert variables[name]["query"]["query"] == variables[name]["definition"]
        assert name in labelled().labels(inside[0])


def test_panels_are_as_grafana_wants_them() -> None:
    """Each has a unit; its queries have names of their own and ask the chosen data source."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        names = [target["refId"] for target in panel["targets"]]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(set(names)) == len(names), panel["title"]
        assert [panel["datasource"], *(each["datasource"] for each in panel["targets"])] == [
            source
        ] * (1 + len(names)), panel["title"]
