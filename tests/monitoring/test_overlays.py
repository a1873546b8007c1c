"""The overlays that bring monitors, rules and dashboard: to the servers' own pods, and to Ray's."""

from __future__ import annotations

import json
import re

import pytest

from tests.kubernetes import schemas
from tests.kubernetes.checks.table import BY_NAME
from tests.kubernetes.manifests import KUBERNETES, Manifests, overlay, render
from tests.monitoring.files import RULES, dashboard

FOLDERS = {"cpu": "monitoring", "ray": "monitoring/ray"}
CONCERNED = ("unknown_series", "wrong_scrapes", "dangling_ports", "dangling_selectors")
needs_definitions = pytest.mark.skipif(
    not schemas.CRDS.is_dir(),
    reason="the custom kinds' definitions do not lie beside this checkout, in ../shared/crds",
)


@pytest.fixture(scope="module", params=FOLDERS)
def monitored(request: pytest.FixtureRequest) -> Manifests:
    """An overlay with what it adds to the one below it."""
    return Manifests(request.param, render(KUBERNETES / "overlays" / FOLDERS[request.param]))


def test_it_adds_monitor_rules_and_dashboard(monitored: Manifests) -> None:
    """And takes nothing away; the dashboard is one that Grafana's sidecar finds."""
    below = overlay(monitored.overlay)
    kinds = sorted(each["kind"] for each in monitored.objects)
    monitor = "PodMonitor" if monitored.overlay == "ray" else "ServiceMonitor"
    added = [monitor, "PrometheusRule", "ConfigMap"]
    assert kinds == sorted([*(each["kind"] for each in below.objects), *added])
    maps = {each["metadata"]["name"]: each for each in monitored.of("ConfigMap")}
    shown = maps["polyhead-dashboard"]
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(shown["data"]["polyhead.json"]) == dashboard()


@pytest.mark.parametrize("check", CONCERNED)
def test_checks_of_all_overlays_hold(check: str, monitored: Manifests) -> None:
    """Those that look at what is added; the overlay below has been through all of them."""
    assert list(BY_NAME[check](monitored)) == []


@needs_definitions
def test_custom_kinds_are_as_their_projects_define_them(monitored: Manifests) -> None:
    """Every field of those that are added is known."""
    added = [each for each in monitored.objects if "monitoring" in each["apiVersion"]]
    assert len(added) == 2
    assert list(schemas.custom_problems(Manifests(monitored.overlay, added))) == []


def test_monitor_calls_the_job_as_the_rules_do(monitored: Manifests) -> None:
    """The job is the value of a label that every target has."""
    monitors = [*monitored.of("ServiceMonitor"), *monitored.of("PodMonitor")]
    labels = {each["spec"]["jobLabel"] for each in monitors}
    assert labels == {"app.kubernetes.io/name"}
    targets = [pod.labels for pod in monitored.pods()]
    targets += [each["metadata"]["labels"] for each in monitored.of("Service")]
    assert {each["app.kubernetes.io/name"] for each in targets} == {"polyhead"}
    assert set(re.findall(r'up\{job="(\w+)"\}', RULES.read_text(encoding="utf-8"))) == {"polyhead"}


def test_ray_names_become_ours() -> None:
    """Its exporter puts its own name before each metric; others stay as they are."""
    rendered = render(KUBERNETES / "overlays" / FOLDERS["ray"])
    (monitor,) = [each for each in rendered if each["kind"] == "PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (change,) = endpoint["metricRelabelings"]
    match = re.fullmatch(change["regex"], "ray_polyhead_requests_total")
    assert match is not None
    assert change["replacement"].replace("$1", match[1]) == "polyhead_requests_total"
    assert re.fullmatch(change["regex"], "ray_serve_num_requests") is None
