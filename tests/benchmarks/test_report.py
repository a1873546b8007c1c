"""The report, from a few results."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.charts import Bar, bar_chart
from benchmarks.report import known_questions, read_results, report, write_charts
from benchmarks.results import Result, Target, finish

QUESTIONS = {
    "at_rest": "One request at rest.",
    "http_share": "Over HTTP.",
    "busy": "Quiet and busy.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the results of two of three questions."""
    machine = {
        "cpu": "a processor",
        "cores": 2,
        "flags": ["avx2"],
        "cuda": None,
        "load_before": 0.1,
        "measured": "2026-01-02 03:04 UTC",
        "code": "abc1234",
    }
    share = Result(
        "http_share",
        3,
        {"float32, 16 connections": {"share_of_engine": 0.8}},
        targets=[Target("of the engine alone", 0.9, 0.8)],
        could_not_run={"int8": "this build has none"},
    )
    rest = Result(
        "at_rest",
        20,
        {"bare_forward": {"median_ms": 5.0, "p25_ms": 4.0, "p75_ms": 6.0}},
        {"over the bare forward": 1.2},
        [Target("over the bare forward", 2.0, 1.0, is_most=True, unit="ms")],
    )
    for result in (share, rest):
        finish(result, machine, tmp_path)
    return tmp_path


@pytest.fixture
def page(folder: Path) -> str:
    """The report on it."""
    return report(read_results(folder), QUESTIONS, {"http_share": ["The client has a core."]}, {})


def rows(page: str, start: str) -> list[str]:
    """Lines that start so."""
    return [line for line in page.splitlines() if line.startswith(start)]


def test_each_question_says_when_and_on_which_code_it_was_asked(page: str) -> None:
    """Sections may be of different days."""
    assert page.count("2026-01-02 03:04 UTC; commit abc1234; load average 0.1 before") == 2
    assert "| code |" not in page


def test_it_says_which_targets_are_held_and_which_fall_short(page: str) -> None:
    """One line each, and how many."""
    assert "1 of 2 are held." in page
    assert rows(page, "| [at_rest]")[0].endswith("| 1 ms (≤ 2 ms) | held |")
    assert rows(page, "| [http_share]")[0].endswith("| 0.8 (≥ 0.9) | **falls short** |")


def test_a_question_that_was_not_measured_is_named_with_its_command(page: str) -> None:
    """A part of the suite gives a report, but not in silence."""
    assert rows(page, "- busy: not measured") == [
        "- busy: not measured here; `python -m benchmarks.questions.busy`."
    ]


def test_what_could_not_run_is_told_with_the_reason(page: str) -> None:
    """Contenders, and CUDA where there was no device."""
    assert "- http_share, int8: this build has none" in page
    assert rows(page, "- CUDA: no device")


def test_why_a_figure_is_so_stands_under_its_question(page: str) -> None:
    """The notes that people write."""
    assert page.index("## http_share") < page.index("- The client has a core.")


def test_results_of_two_machines_are_not_taken_for_one(folder: Path) -> None:
    """A reader must not compare them."""
    other = Result("busy", 1, {"server": {"quiet_ms": 1.0, "busy_ms": 2.0}})
    finish(other, {"cpu": "another", "cores": 64}, folder)
    page = report(read_results(folder), QUESTIONS, {}, {})
    assert "more than one machine" in page


def test_the_report_of_nothing_names_every_question() -> None:
    """An empty folder is a report too."""
    page = report({}, QUESTIONS, {}, {})
    assert all(f"- {name}: not measured" in page for name in QUESTIONS)


def test_every_question_of_the_suite_is_known_with_its_command() -> None:
    """The report finds them by themselves."""
    assert {"http_share", "http_infinity", "at_rest", "accuracy"} <= known_questions().keys()


def test_charts_are_the_same_bytes_for_the_same_figures(folder: Path, tmp_path: Path) -> None:
    """A report that changes by itself cannot be kept under version control."""
    results = read_results(folder)
    first, second = (tmp_path / name for name in ("a", "b"))
    charts = write_charts(results, first)
    write_charts(results, second)
    assert {"at_rest": "a/at_rest.svg", "http_share": "a/http_share.svg"} == charts
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_chart_has_a_bar_and_a_figure_for_each_contender() -> None:
    """And is well-formed, whatever the names hold."""
    svg = bar_chart("a < b", "ms", [Bar("ours & theirs", 1.5), Bar("other", 200.0)], bound=2.0)
    texts = [each.text for each in ElementTree.fromstring(svg).iter() if each.text]
    assert {"ours & theirs", "other", "1.5", "200"} <= set(texts)
    assert any("logarithmic" in text for text in texts)


def test_a_longer_bar_is_a_larger_figure() -> None:
    """Lengths are in proportion on a plain axis."""
    svg = bar_chart("sizes", "ms", [Bar("one", 10.0), Bar("two", 20.0)])
    bars = [each for each in ElementTree.fromstring(svg).iter() if each.get("fill") == "#d97706"]
    short, long = (float(each.attrib["width"]) for each in bars)
    assert long == pytest.approx(2 * short, rel=1e-3)


def test_a_quartile_beyond_the_longest_bar_still_fits() -> None:
    """The axis ends at the farthest quartile, not at the farthest median."""
    svg = bar_chart("times", "ms", [Bar("one", 10.0, low=8.0, high=40.0), Bar("two", 20.0)])
    (line,) = (each for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("line"))
    bars = [each for each in ElementTree.fromstring(svg).iter() if each.get("fill") == "#d97706"]
    longest = float(bars[1].attrib["x"]) + float(bars[1].attrib["width"])
    assert float(line.attrib["x2"]) > longest
