"""Task files: what is read, what is refused and with which words."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import (
    Example,
    Kind,
    Leaf,
    Overflow,
    RejectedAdapter,
    Stack,
    TaskSpec,
    UnknownTask,
)
from serving.catalog.entries import read_entry
from serving.catalog.files import open_store, read_task_file
from serving.catalog.plans import TaskFile
from serving.errors import TaskFileError
from serving.lifecycle.admitting.at_once import AtOnce
from serving.lifecycle.live.tasks import Tasks
from tests.serving.fake_engine import FakeEngine


def write(path: Path, text: str) -> str:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def specs_of(file: TaskFile) -> list[TaskSpec]:
    """What to read for the newest version of each task."""
    return [plan.versions[-1].spec for plan in file.plans]


FULL = """
backbone: ./backbone
tasks:
  - name: sentiment
    adapter: ./adapters/sentiment
    head: hf://org/heads@main/sentiment
    kind: text-classification
    labels: [negative, positive]
    limits: {max_tokens: 128, overflow: window}
    options: {pooling: mean, normalize: true, lora_scaling: adapters}
    pinned: true
    examples: [{inputs: "good", expect: {label: positive}}]
  - name: embed
  - name: both
    adapter: {stack: [./a, {stack: [pkg://mod/b, /c]}]}
"""


def test_every_key_of_a_task_is_read(tmp_path: Path) -> None:
    """Relative Sources start at the file, URLs stay."""
    file = read_task_file(write(tmp_path / "tasks.yaml", FULL))
    sentiment, embed, both = specs_of(file)
    assert file.backbone == str(tmp_path / "backbone")
    assert sentiment.adapter == Leaf(str(tmp_path / "adapters/sentiment"))
    assert sentiment.head == "hf://org/heads@main/sentiment"
    assert sentiment.kind is Kind.TEXT_CLASSIFICATION
    assert sentiment.limits.max_tokens == 128
    assert sentiment.limits.overflow is Overflow.WINDOW
    assert sentiment.options == {"pooling": "mean", "normalize": True, "lora_scaling": "adapters"}
    assert sentiment.labels == ("negative", "positive")
    assert sentiment.pinned
    assert sentiment.examples == (Example("good", {"label": "positive"}),)
    assert embed.adapter is None
    assert both.adapter == Stack(
        (Leaf(str(tmp_path / "a")), Stack((Leaf("pkg://mod/b"), Leaf("/c"))))
    )


REFUSED: tuple[tuple[Any, str], ...] = (
    ("text", "mapping"),
    ({}, "name"),
    ({"name": ".hidden"}, "cannot name a task"),
    ({"name": "a b"}, "cannot name a task"),
    ({"name": "x" * 129}, "cannot name a task"),
    ({"name": "a", "adaptor": "x"}, "did you mean adapter?"),
    ({"name": "a", "limits": {"max_token": 3}}, "did you mean max_tokens?"),
    ({"name": "a", "limits": {"max_tokens": 0}}, "limits.max_tokens"),
    ({"name": "a", "limits": {"overflow": "cut"}}, "overflow"),
    ({"name": "a", "options": {"poolin": "mean"}}, "did you mean pooling?"),
    ({"name": "a", "options": {"colour": 1}}, "known keys are"),
    ({"name": "a", "kind": "poetry"}, "kind"),
    ({"name": "a", "labels": [False, True]}, "quote"),
    ({"name": "a", "adapter": 3}, "adapter"),
    ({"name": "a", "adapter": {"stack": []}}, "adapter"),
    ({"name": "a", "adapter": {"stack": ["x", None]}}, "not null"),
    ({"name": "a", "adapter": {"average": "x"}}, "`average` takes a list"),
    ({"name": "a", "adapter": {"average": ["x"], "weight": [1]}}, "weight is no key of `average`"),
    ({"name": "a", "adapter": {"fuse": ["x"]}}, "`fuse` needs `fusion`"),
    ({"name": "a", "adapter": {"merge": [None]}}, "holds Sources, not null"),
    ({"name": "a", "examples": [{"expect": "x"}]}, "inputs"),
    ({"name": "a", "examples": [{"inputs": "x", "expect": {"tolerance": -1}}]}, "0 or more"),
    ({"name": "a", "examples": [{"inputs": "x", "expect": [{"tolerance": "1"}]}]}, "a number"),
    ({"name": "a", "versions": []}, "versions: give at least one"),
    ({"name": "a", "adapter": "x", "versions": [{}]}, "adapter: with `versions`"),
    ({"name": "a", "head": "x", "versions": [{}]}, "head: with `versions`"),
    ({"name": "a", "versions": [{"adaptor": "x"}]}, "did you mean adapter?"),
    ({"name": "a", "versions": [{"limits": {"max_token": 3}}]}, "did you mean max_tokens?"),
    ({"name": "a", "versions": [{"adapter": {"stack": []}}]}, "versions.0.adapter"),
    ({"name": "a", "versions": [{"id": "a b"}]}, "is no id"),
    ({"name": "a", "versions": [{"id": 1.1}]}, "in quotes"),
    ({"name": "a", "versions": [{"id": True}]}, "in quotes"),
    ({"name": "a", "versions": [{"id": 1}, {"id": "1"}]}, "2 have the id 1"),
    ({"name": "a", "versions": [{"weight": -1}]}, "versions.0.weight"),
    ({"name": "a", "versions": [{"weight": math.inf}]}, "versions.0.weight"),
    ({"name": "a", "versions": [{"weight": math.nan}]}, "versions.0.weight"),
    ({"name": "a", "versions": [{"weight": True}]}, "versions.0.weight"),
    ({"name": "a", "versions": [{"weight": 0}, {}]}, "all weights are 0"),
    ({"name": "a", "versions": [{}, {"weight": 1, "shadow": True}]}, "a shadow answers nobody"),
    ({"name": "a", "versions": [{"shadow": True}]}, "nobody would answer"),
    ({"name": "a", "versions": [{}] * 65}, "versions: "),
    ({"name": "a", "rollback": {"error_rte": 0.1}}, "did you mean error_rate?"),
    ({"name": "a", "rollback": {"error_rate": 1.1}}, "rollback.error_rate"),
    ({"name": "a", "rollback": {"disagreement": -0.1}}, "rollback.disagreement"),
    ({"name": "a", "rollback": {"min_requests": 0}}, "rollback.min_requests"),
    ({"name": "a", "retired": ["a b"]}, "is no id"),
    ({"name": "a", "id": "1"}, "id is no known key"),
)


@pytest.mark.parametrize(("entry", "words"), REFUSED)
def test_wrong_entry_is_refused_in_words_that_help(entry: Any, words: str, tmp_path: Path) -> None:
    """The key and the remedy are named."""
    with pytest.raises(TaskFileError) as caught:
        read_entry(entry, tmp_path)
    assert words in str(caught.value)


def test_broken_entry_does_not_stop_the_others(tmp_path: Path) -> None:
    """Also a name that is used twice: which one is meant is unknown."""
    text = "tasks: [{name: a}, {name: b, oops: 1}, {name: c}, {name: c}, 7]"
    file = read_task_file(write(tmp_path / "t.yaml", text))
    assert [plan.name for plan in file.plans] == ["a"]
    reasons = {each.name: each.reason for each in file.broken}
    assert list(reasons) == ["b", "c", "tasks[4]"]
    assert "2 tasks are named c" in reasons["c"]


@pytest.mark.parametrize(
    "text",
    (
        "tasks: {",
        "[]",
        "backbone: x",
        "tasks: 3",
        "tasks: []\nbackbon: x",
        "tasks: []\nbackbone: 3",
    ),
)
def test_broken_file_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    """Not YAML, no tasks, unknown keys."""
    with pytest.raises(TaskFileError, match=r"t\.yaml"):
        read_task_file(write(tmp_path / "t.yaml", text))


def test_folder_of_task_files_is_one_task_each(tmp_path: Path) -> None:
    """The file's name is the task's when it gives none; a broken file breaks only itself."""
    write(tmp_path / "spam.yaml", "adapter: ./spam-adapter")
    write(tmp_path / "other.yml", "name: topic")
    write(tmp_path / "zzz.yaml", "a: [")
    file = read_task_file(str(tmp_path))
    assert {plan.name for plan in file.plans} == {"spam", "topic"}
    assert [each.name for each in file.broken] == ["zzz"]


def test_bare_adapter_folders_are_served_as_they_stand(tmp_path: Path) -> None:
    """One task per folder, named after it; a folder with only a head has no adapter."""
    write(tmp_path / "sst" / "adapter_config.json", "{}")
    write(tmp_path / "probe" / "head_config.json", "{}")
    write(tmp_path / "_bad" / "adapter_config.json", "{}")
    (tmp_path / "unrelated").mkdir()
    file = read_task_file(str(tmp_path))
    probe, sst = specs_of(file)
    assert (sst.name, sst.adapter) == ("sst", Leaf(str(tmp_path / "sst")))
    assert (probe.adapter, probe.head) == (None, str(tmp_path / "probe"))
    assert [each.name for each in file.broken] == ["_bad"]


@pytest.mark.parametrize("path", ("nowhere", "none://bucket/tasks", "~nosuchuser/x", "a\0b"))
def test_path_without_tasks_is_refused(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, or of a kind that nobody knows."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskFileError, match=re.escape(path)):
        read_task_file(path)


def test_folder_with_nothing_in_it_is_an_empty_catalog(tmp_path: Path) -> None:
    """Tasks come over HTTP, or as files, later."""
    assert read_task_file(str(tmp_path)) == TaskFile(None, ())
    assert open_store(str(tmp_path)).is_writable


def test_admission_keeps_good_tasks_and_reasons_of_bad_ones(tmp_path: Path) -> None:
    """Rejected, missing or crashing: each fails alone."""
    entries = [
        {"name": name, "adapter": f"/{name}"} for name in ("good", "broken", "absent", "crash")
    ]
    plans = tuple(read_entry(entry, tmp_path) for entry in entries)
    tasks = Tasks()
    versions = tasks.apply(TaskFile(None, plans))
    at_once = AtOnce(tasks, FakeEngine())
    at_once.admit_all(versions, 4)
    counted = tasks.count_by_state()
    assert (counted["ready"], counted["rejected"]) == (1, 3)
    reasons = [version.reasons[0].code for version in versions if not version.is_ready]
    assert reasons == ["missing_tensor", "source_error", "internal_error"]
    with pytest.raises(RejectedAdapter, match="x is missing"):
        at_once.resolve("broken")
    with pytest.raises(UnknownTask, match="good"):
        at_once.resolve("goood")


@pytest.mark.parametrize(
    "text",
    (
        "tasks: [{name: a, adapter: &x {stack: [*x]}}]",
        "tasks: [{name: a, adapter: ~nosuchuser/x}]",
        "tasks: [{name: a, adapter: " + "{stack: [" * 40 + "x" + "]}" * 40 + "}]",
    ),
)
def test_hostile_entry_is_broken_and_nothing_more(text: str, tmp_path: Path) -> None:
    """Endless, deep and unresolvable trees end in a reason."""
    file = tmp_path / "tasks.yaml"
    file.write_text(text)
    found = read_task_file(str(file))
    assert ("a",) == tuple(broken.name for broken in found.broken)


@pytest.mark.parametrize("value", ("2020-13-45", "!!int abc", "[" * 3000))
def test_hostile_yaml_is_refused_as_a_whole(value: str, tmp_path: Path) -> None:
    """What the YAML reader itself stumbles over is one sentence."""
    file = tmp_path / "tasks.yaml"
    file.write_text(f"backbone: {value}")
    with pytest.raises(TaskFileError):
        read_task_file(str(file))


def test_fifo_is_no_task_file(tmp_path: Path) -> None:
    """Nobody writes into it: reading would never end."""
    os.mkfifo(tmp_path / "a.yaml")
    found = read_task_file(str(tmp_path))
    assert ["a"] == [broken.name for broken in found.broken]
