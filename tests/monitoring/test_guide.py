"""The operations guide names only what there is, and says something to every alert."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from starlette.testclient import TestClient

from serving.app import create_app
from serving.cli import app as commands_app
from serving.errors import STATUS
from serving.metrics import METRICS, PrometheusRecorder
from serving.settings import Settings
from tests.monitoring.files import ALERTS
from tests.monitoring.guide import GUIDE, commands, runbook, text
from tests.running import ROOT

KUBECTL = Path(sys.executable).with_name("kubectl")
OTHERS = {"POLYHEAD_URL"}
"""Variables of the command line, not of the server."""


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    """In the rules' order; each with what to look at and what to do."""
    sections = runbook()
    assert list(sections) == list(ALERTS)
    for name, section in sections.items():
        means, look, act = re.split(r"```(?:sh)?\n", section)
        assert all(len(part.strip()) > 20 for part in (means, look, act)), name


def test_every_metric_stands_in_the_table() -> None:
    """With its kind, its labels and what it says."""
    rows = re.findall(r"^\| `(polyhead_\w+)` \| (\w+) \| (.*) \| (.*) \|$", text(), flags=re.M)
    declared = [
        (metric.name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.text)
        for metric in METRICS
    ]
    assert rows == declared


@pytest.mark.parametrize("words", list(commands("polyhead")), ids=" ".join)
def test_command_exists(words: list[str]) -> None:
    """Commands, options and arguments are taken by the command line."""
    command: Any = typer.main.get_command(commands_app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    if words:  # else it is only spoken of
        assert command.make_context("polyhead", list(words)).args == []


def test_commands_that_open_a_folder_name_its_backbone() -> None:
    """A folder of task files, unlike one file, cannot say it."""
    lacking = [
        words for words in commands("polyhead") if "--tasks" in words and "--backbone" not in words
    ]
    assert lacking == []


def test_kubectl_has_the_commands() -> None:
    """Their first words."""
    helped = subprocess.run([str(KUBECTL), "--help"], capture_output=True, text=True, timeout=30)
    known = set(re.findall(r"^  ([a-z-]+) ", helped.stdout, flags=re.M))
    used = {
        re.sub(r"^-n polyhead ", "", " ".join(words)).split()[0] for words in commands("kubectl")
    }
    assert used
    assert used <= known


def test_routes_exist() -> None:
    """Every path of the server, and the method where one is named."""
    app = create_app(object(), Settings(), PrometheusRecorder())  # type: ignore[arg-type]
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    named = re.findall(r"`(GET|PUT|POST|DELETE) (/[\w/.{}:-]+)`", text())
    curled = [("", path) for path in re.findall(r"\$POLYHEAD_URL(/[\w/.:-]+)", text())]
    assert len(named) > 2
    assert len(curled) > 10
    unknown = [
        (method, path)
        for method, path in (*named, *curled)
        if not any(
            re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)
            and (not method or method.lower() in paths[route])
            for route in paths
        )
    ]
    assert unknown == []


def test_variables_are_settings() -> None:
    """None is misspelt."""
    known = {f"POLYHEAD_{name.upper()}" for name in Settings.model_fields} | OTHERS
    assert set(re.findall(r"POLYHEAD_[A-Z_]+", text())) - known == set()


def test_numbers_beside_variables_are_their_defaults() -> None:
    """`POLYHEAD_X` (3) says that X is 3 by itself."""
    found = re.findall(r"`POLYHEAD_([A-Z_]+)` \(([\d.]+)(?: s)?\)", text())
    assert len(found) >= 4
    defaults = Settings()
    wrong = [name for name, said in found if float(said) != getattr(defaults, name.lower())]
    assert wrong == []


def test_codes_are_of_errors() -> None:
    """Those that the section on errors tells apart."""
    known = {getattr(kind, "code", "") for kind in STATUS}
    section = runbook()["PolyheadErrorRate"].partition("By `code`:")[2]
    assert set(re.findall(r"`([a-z_]+)`", section)) <= known


def test_links_lead_somewhere() -> None:
    """To files, to sections of this page, and to folders of the project."""
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text(), flags=re.M)
    }
    targets = re.findall(r"\]\(([^)]+)\)", text())
    assert [each for each in targets if each.startswith("#") and each[1:] not in anchors] == []
    files = [GUIDE.parent / each for each in targets if not each.startswith("#")]
    files += [ROOT / each for each in re.findall(r"\bdeploy/[\w/.-]*\w", text())]
    files += [
        ROOT / "deploy/kubernetes" / each for each in re.findall(r"`(overlays/[\w/]+)`", text())
    ]
    assert [str(path) for path in files if not path.exists()] == []


def test_make_has_the_targets() -> None:
    """`make test` and others."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+)", text()))
    assert targets
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, flags=re.M)] == []
