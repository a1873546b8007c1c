"""The rules and the dashboard as they are shipped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.running import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "polyhead.json"
SCALING = ROOT / "deploy" / "kubernetes" / "overlays" / "keda" / "scaled-object.yaml"
INTERVAL = "$__rate_interval"
Rule = Mapping[str, Any]


class Query(NamedTuple):
    """A panel's query: its panel, and how its lines are named."""

    panel: str
    expression: str
    legend: str


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """All rules in the order in which they stand."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]["groups"]
    return tuple(rule for group in groups for rule in group["rules"])


RECORDED: Mapping[str, str] = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
ALERTS: Mapping[str, Rule] = {rule["alert"]: rule for rule in rules() if "alert" in rule}


@lru_cache(maxsize=1)
def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """All panels that show something: no rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries(interval: str = "1m") -> list[Query]:
    """Every query of the dashboard, with all variables at their first value."""
    values = {INTERVAL: interval, "$job": ".*", "$namespace": ".*", "$task": ".*"}
    found = []
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            found.append(Query(panel["title"], expression, target["legendFormat"]))
    return found


def scaling() -> list[str]:
    """The queries that KEDA scales by."""
    triggers = yaml.safe_load(SCALING.read_text(encoding="utf-8"))["spec"]["triggers"]
    return [trigger["metadata"]["query"] for trigger in triggers]


def write_rules(folder: Path) -> Path:
    """The rules as a file that Prometheus itself reads: what stands under `spec`."""
    path = folder / "polyhead.rules.yaml"
    spec = yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return path
