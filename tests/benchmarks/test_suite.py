"""The suite: questions one after the other, then the report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import suite
from benchmarks.report import known_questions


def test_short_runs_are_of_questions_that_there_are() -> None:
    """An option for a question that has gone would be dead."""
    assert suite.QUICK.keys() <= known_questions().keys()


def test_a_question_that_fails_stops_neither_the_others_nor_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named at the end, and in the report as not measured."""
    asked: list[str] = []

    def ask(question: str, is_quick: bool, output: Path) -> int:
        asked.append(question)
        return int(question == "at_rest")

    page = tmp_path / "report.md"
    monkeypatch.setattr(suite, "ask", ask)
    options = ["--no-environments", "--only", "at_rest", "busy"]
    places = ["--output", str(tmp_path), "--report", str(page)]
    monkeypatch.setattr(sys, "argv", ["suite", *options, *places])
    with pytest.raises(SystemExit, match=r"failed: at_rest\."):
        suite.main()
    assert ["at_rest", "busy"] == asked
    assert "- at_rest: not measured" in page.read_text()


def test_a_short_run_leaves_the_measured_report_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures say little; whoever tries the suite must not lose those that say much."""
    measured, quick = tmp_path / "measured.md", tmp_path / "quick"
    measured.write_text("Figures.")
    monkeypatch.setattr(suite, "RESULTS", tmp_path)
    monkeypatch.setattr(suite, "REPORT", measured)
    monkeypatch.setattr(suite, "ask", lambda *_: 0)
    monkeypatch.setattr(sys, "argv", ["suite", "--no-environments", "--quick", "--only", "busy"])
    quick.mkdir()
    suite.main()
    assert measured.read_text() == "Figures."
    assert "- busy: not measured" in (quick / measured.name).read_text()


def test_a_question_says_its_options() -> None:
    """The cheapest proof that a question's module loads."""
    command = [sys.executable, "-m", "benchmarks.questions.resident_bytes", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--rounds" in done.stdout
    assert "--output" in done.stdout
