"""A question's result, from the run to the file and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.results import (
    Result,
    Target,
    as_json,
    finish,
    from_json,
    machine_facts,
    median_ratio,
    spread,
)


def made(**changes: object) -> Result:
    """A small result."""
    given = {
        "question": "lengths",
        "rounds": 3,
        "contenders": {"ours": {"median_ms": 10.0}},
        "targets": [Target("share", 0.9, 0.95)],
        **changes,
    }
    return Result(**given)  # type: ignore[arg-type]


def test_a_result_comes_back_from_its_file_as_it_was() -> None:
    """Targets too, whose verdict is worked out anew."""
    result = made(could_not_run={"peer": "not installed"}, notes=["a note"])
    assert result == from_json(json.loads(json.dumps(as_json(result))))


def test_a_target_is_held_at_its_bound() -> None:
    """At least or at most, as it says."""
    least, most = Target("share", 0.9, 0.9), Target("bytes", 1.1, 1.1, is_most=True)
    assert (True, True) == (least.held, most.held)


def test_a_target_falls_short_beyond_its_bound() -> None:
    """Each on its own side."""
    least, most = Target("share", 0.9, 0.89), Target("bytes", 1.1, 1.11, is_most=True)
    assert (False, False) == (least.held, most.held)


def test_finish_writes_the_machine_and_tells_what_fell_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file under the question's name, the table on standard output."""
    short = made(targets=[Target("share", 0.9, 0.5)])
    finish(short, machine_facts(), tmp_path)
    found = json.loads((tmp_path / "lengths.json").read_text())
    assert "falls short: share: 0.5 (≥ 0.9)" in capsys.readouterr().out
    assert {"cpu", "cores", "flags", "load_before", "load_after"} <= found["machine"].keys()
    assert found["targets"][0]["held"] is False


def test_a_ratio_is_that_of_the_same_round() -> None:
    """The median of the ratios, not the ratio of medians: here the latter would be 1."""
    assert 2.0 == median_ratio([2.0, 20.0, 6.0], [6.0, 10.0, 3.0])


def test_the_spread_of_one_round_is_that_round() -> None:
    """Quartiles need more than one."""
    assert {"median_ms": 4.0, "p25_ms": 4.0, "p75_ms": 4.0} == spread([4.0])
