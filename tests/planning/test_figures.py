"""Figures are saved, and read on another machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter_runtime import SettingsError
from serving.planning.figures import load, save
from tests.planning.figures import figures, http


def test_figures_are_read_as_they_were_saved(tmp_path: Path) -> None:
    """Nothing is lost or rounded on the way."""
    made = figures(http=http(), growth=None)
    save(made, tmp_path / "figures.json")
    assert made == load(tmp_path / "figures.json")


@pytest.mark.parametrize(
    ("content", "text"),
    (
        ("", "holds no figures"),
        ("[]", "holds no figures"),
        ('{"format": 2}', "format"),
        ('{"format": 1}', "version"),
        ("\ufeff{", "holds no figures"),
    ),
)
def test_other_files_are_refused_with_what_is_wrong(
    tmp_path: Path, content: str, text: str
) -> None:
    """The sentence names the file, the field and the command that makes figures."""
    place = tmp_path / "other.json"
    place.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=f"{text}.*--save-figures") as refused:
        load(place)
    assert str(place) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), (("num_tasks", 0), ("tasks", []), ("batches", []), ("bare_bytes", -1))
)
def test_figures_that_cannot_be_are_refused(tmp_path: Path, name: str, value: object) -> None:
    """A file that somebody edited does not end in a division by zero."""
    content = json.loads(figures().model_dump_json())
    place = tmp_path / "edited.json"
    place.write_text(json.dumps({**content, name: value}), encoding="utf-8")
    with pytest.raises(SettingsError, match=name):
        load(place)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Neither reading nor writing ends in a traceback."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "none.json")
    with pytest.raises(SettingsError, match="cannot be written: No such file"):
        save(figures(), tmp_path / "none" / "figures.json")


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    """A figures file is text."""
    place = tmp_path / "binary.json"
    place.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(place)
