"""Each alert fires when it should, and only then: promtool runs the rules over histories."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.files import ALERTS, write_rules
from tests.monitoring.histories import FIRING, HEALTHY, QUIET, History

LOOK = "75m"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing, which only root can install (Debian: apt-get install prometheus)",
)


def promtool(*arguments: str) -> str:
    """What it says; fails with that where it is not content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def firing(name: str, is_firing: bool) -> dict[str, Any]:
    """Promtool's words for whether an alert fires."""
    samples = [{"labels": "{}", "value": 1}] if is_firing else []
    expression = f'group(ALERTS{{alertname="{name}", alertstate="firing"}})'
    return {"expr": expression, "eval_time": LOOK, "exp_samples": samples}


Case = tuple[History, dict[str, bool]]


def run(folder: Path, cases: Sequence[Case]) -> str:
    """Evaluate the rules every minute over each history, and look at alerts in its end."""
    content = {"rule_files": [str(write_rules(folder))], "tests": [*map(worded, cases)]}
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return promtool("test", "rules", str(path))


def worded(case: Case) -> dict[str, Any]:
    """A case in promtool's words."""
    history, expected = case
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in history.items()],
        "promql_expr_test": [firing(name, is_firing) for name, is_firing in expected.items()],
    }


def test_every_alert_has_a_history() -> None:
    """None is left untried."""
    assert set(FIRING) == set(ALERTS)
    assert set(QUIET) <= set(ALERTS)


@needs_promtool
def test_rules_are_as_prometheus_wants_them(tmp_path: Path) -> None:
    """Syntax, names and templates, without a warning."""
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(write_rules(tmp_path)))
    assert "SUCCESS" in said


@needs_promtool
def test_every_alert_fires_in_its_cases(tmp_path: Path) -> None:
    """Also where nothing else is known of the server."""
    cases = [(history, {name: True}) for name in FIRING for history in FIRING[name]]
    assert "SUCCESS" in run(tmp_path, cases)


@needs_promtool
def test_healthy_server_raises_no_alert(tmp_path: Path) -> None:
    """None at all."""
    assert "SUCCESS" in run(tmp_path, [(HEALTHY, dict.fromkeys(ALERTS, False))])


@needs_promtool
def test_near_misses_raise_no_alert(tmp_path: Path) -> None:
    """Too short, long ago, a client's own wish, or a gap in what was scraped."""
    assert "SUCCESS" in run(tmp_path, [(history, {name: False}) for name, history in QUIET.items()])


@needs_promtool
@pytest.mark.parametrize("history", (HEALTHY, FIRING["PolyheadDown"][0]))
def test_wrong_expectations_are_noticed(history: History, tmp_path: Path) -> None:
    """So that the tests above can fail: an alert that fires is not silent, nor the other way."""
    is_firing = history is HEALTHY
    with pytest.raises(AssertionError, match="PolyheadDown"):
        run(tmp_path, [(history, {"PolyheadDown": is_firing})])


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_what_to_do(name: str) -> None:
    """Severity, a sentence, what it means, and its section of the guide."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    notes = alert["annotations"]
    assert notes["summary"].endswith(".")
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"docs/operations.md#{name.lower()}"
