"""`polyhead check` takes a composition, and says what it makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_runtime import Report
from serving.check import check, report_text
from serving.errors import TaskFileError
from serving.settings import load_settings
from tests.goldens import replay

FOLDER = replay.checkpoints("composition", "bert")


def checked(source: str, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(FOLDER)
    return check(source, [], load_settings(backbone=str(replay.saved_backbone("bert"))))


def test_the_report_shows_tree_rule_and_every_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """An average names its mode and its factors; a fusion's tensors are accounted for too."""
    source = (
        "{stack: [{average: [./seq_a, seq_b]}, {fuse: [seq_c, seq_a], fusion: fusion_no_query}]}"
    )
    report = checked(source, monkeypatch)
    assert report.accepted, report.problems
    average, fuse = report.facts["composition"]["stack"]
    assert (average["mode"], average["weights"]) == ("adapters", [0.5, 0.5])
    assert Path(fuse["fusion"]).name == "fusion_no_query"
    members = [Path(member["source"]).name for member in report.facts["adapters"]]
    assert members == ["seq_a", "seq_b", "seq_c", "seq_a", "fusion_no_query"]
    assert all(set(member["tensors"].values()) == {"used"} for member in report.facts["adapters"])
    warning = next(note for note in report.warnings if note.code == "average_divided_twice")
    assert "factors 0.25, 0.25" in warning.message
    assert "fusion_no_query" in report_text(source, report)


@pytest.mark.parametrize("name", ("fusion_hot", "fusion_with_head"))
def test_a_fusion_layer_given_as_an_adapter_is_told_and_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy, and what the folder holds: quirks and every tensor."""
    report = checked(name, monkeypatch)
    assert [note.code for note in report.problems] == ["fusion_only"]
    (member,) = report.facts["adapters"]
    assert set(member["tensors"].values()) <= {"used", "another fusion's"}
    shown = "quirk                [fusion_temperature] Its scores" in report_text(name, report)
    assert shown == (name == "fusion_hot")


def test_what_can_never_run_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report with the reason, not a failure to check."""
    report = checked("{split: [seq_a, seq_b]}", monkeypatch)
    assert [note.code for note in report.problems] == ["unsupported_composition"]


def test_broken_flow_is_no_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    """What YAML cannot read is an error with an example."""
    with pytest.raises(TaskFileError, match="average"):
        checked("{average: [seq_a", monkeypatch)
