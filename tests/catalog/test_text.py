"""YAML of task files, as it is read and written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.catalog.text import dump, parse
from serving.errors import TaskFileError
from tests.catalog.test_directory import names, store_of


def test_rare_characters_are_read_as_json_writes_them(tmp_path: Path) -> None:
    """Two halves make one; a half alone is no text, and breaks the file before any answer."""
    store = store_of(tmp_path, good='labels: ["\\ud83d\\ude42", "é"]', bad='labels: ["\\ud83d"]')
    found = store.read()
    assert found.plans[0].versions[0].spec.labels == ("🙂", "é")
    assert [broken.name for broken in found.broken] == ["bad"]
    with pytest.raises(TaskFileError):
        store.change("t", lambda _: {"name": "t", "labels": ["\ud83d"]})


@pytest.mark.parametrize("value", ("!!bool maybe", "!!int ''", "!!timestamp x", "1" + ":1" * 600))
def test_what_only_the_parser_stumbles_over_breaks_its_task_alone(
    tmp_path: Path, value: str
) -> None:
    """The others of the folder are read."""
    found = store_of(tmp_path, good="labels: [a]", bad=f"labels: {value}.5").read()
    assert [plan.name for plan in found.plans] == ["good"]
    assert [broken.name for broken in found.broken] == ["bad"]


TEXTS = st.text() | st.text(
    st.sampled_from("a \n\r\t\x85\u2028\xa0\ufeff:#-'\"{}[,&*!|>%@`?=~0\\\x00🙂é")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=VALUES)
def test_any_value_is_read_as_it_was_written(value: object) -> None:
    """Quotes, line breaks, spaces at the end, control characters, numbers like words."""
    entry = {"name": "t", "examples": [{"inputs": value}]}
    assert parse(dump(entry), "t.yaml") == entry


def test_what_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    """What is no plain value has no YAML."""
    store = store_of(tmp_path)
    with pytest.raises(TaskFileError, match="cannot be written"):
        store.change("t", lambda _: {"name": "t", "examples": [{"inputs": object()}]})
    assert names(tmp_path) == []
