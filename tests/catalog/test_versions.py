"""Entries with versions, as plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import Kind, Leaf
from serving.catalog.entries import read_entry
from serving.catalog.files import read_task_file
from serving.catalog.keys import key_of, plan_of
from serving.catalog.plans import RollbackRule
from serving.catalog.puts import map_sources
from serving.catalog.text import parse
from tests.catalog.making import of, plan

ENTRY = """
name: topic
kind: text-classification
labels: [a, b]
options: {pooling: mean}
pinned: true
versions:
  - {id: 1, adapter: ./topic-1, weight: 90, digest: 0123456789ab}
  - {id: "2", adapter: ./topic-2, weight: 10, labels: [a, b, c], options: {}, pinned: false}
  - {adapter: {stack: [./x, ./y]}, head: ./h, shadow: true, kind: null, rolled_back: It failed.}
rollback: {error_rate: 0.05, disagreement: 0.2, min_requests: 200}
previous_weights: {1: 100}
retired: [0, 2]
"""


def test_every_key_of_versions_is_read() -> None:
    """What a version says itself goes before what the task says for all."""
    task = read_entry(parse(ENTRY.encode(), "topic.yaml"), "/catalog")
    one, two, three = task.versions
    assert (one.id, one.weight, one.digest) == ("1", 90, "0123456789ab")
    assert one.spec.adapter == Leaf("/catalog/topic-1")
    assert one.spec.labels == ("a", "b")
    assert (one.spec.options, one.spec.pinned) == ({"pooling": "mean"}, True)
    assert two.spec.labels == ("a", "b", "c")
    assert (two.spec.options, two.spec.pinned) == ({}, False)
    assert two.spec.kind is Kind.TEXT_CLASSIFICATION
    assert (three.id, three.weight, three.shadow) == (None, None, True)
    assert (three.spec.kind, three.spec.head) == (None, "/catalog/h")
    assert three.rolled_back == "It failed."
    assert task.rollback == RollbackRule(0.05, 0.2, 200)
    assert task.previous_weights == {"1": 100}
    assert task.retired == ("0",)
    assert task.has_weights


def test_plain_entry_is_a_plan_of_one_version() -> None:
    """Without weights: it takes all."""
    task = plan({"name": "t", "adapter": "./a", "rollback": {"error_rate": 0.5}})
    assert len(task.versions) == 1
    assert not task.has_weights
    assert task.rollback == RollbackRule(0.5)
    assert plan_of(task.versions[0].spec).versions == task.versions


MEANINGS: tuple[dict[str, Any], ...] = (
    {},
    {"adapter": "./a"},
    {"adapter": "./b"},
    {"head": "./a"},
    {"adapter": {"stack": ["./a"]}},
    {"adapter": {"stack": ["./a", "./b"]}},
    {"adapter": {"average": ["./a", "./b"]}},
    {"adapter": {"average": ["./a", "./b"], "weights": [1, 2]}},
    {"adapter": {"fuse": ["./a", "./b"], "fusion": "./f"}},
    {"adapter": "./a", "kind": "fill-mask"},
    {"adapter": "./a", "labels": ["x"]},
    {"adapter": "./a", "limits": {"max_tokens": 1}},
    {"adapter": "./a", "options": {"normalize": True}},
)


def test_keys_tell_meanings_apart() -> None:
    """Every part of a meaning counts."""
    keys = [plan({"name": "t", **each}).versions[0].key for each in MEANINGS]
    assert len(set(keys)) == len(MEANINGS)
    assert all(len(key) == 64 for key in keys)


@pytest.mark.parametrize(
    "same",
    (
        {"name": "t", "adapter": "/catalog/a"},
        {"name": "other", "adapter": "./a"},
        {"name": "t", "adapter": "./a", "pinned": True, "examples": [{"inputs": "x"}]},
        {"name": "t", "adapter": "./a", "limits": {}, "options": {"pooling": None}},
        of({"id": "1", "adapter": "./a", "weight": 3, "digest": "a" * 64}),
    ),
)
def test_keys_are_equal_where_the_meaning_is(same: dict[str, Any]) -> None:
    """However it is written, and whoever gets the traffic."""
    expected = plan({"name": "t", "adapter": "./a"}).versions[0]
    assert plan(same).versions[0].key == expected.key == key_of(expected.spec)


def test_every_source_of_an_entry_is_mapped() -> None:
    """As pinning hub Sources to commits needs it; words that are no Sources stay."""
    tree = {"fuse": ["./a", {"average": ["./b"], "mode": "mean", "weights": [1]}], "fusion": "./f"}
    entry = of({"id": "./a", "adapter": tree, "head": "./h"}, {"adapter": "./c", "labels": ["./a"]})
    assert map_sources(entry, str.upper) == of(
        {
            "id": "./a",
            "adapter": {
                "fuse": ["./A", {"average": ["./B"], "mode": "mean", "weights": [1]}],
                "fusion": "./F",
            },
            "head": "./H",
        },
        {"adapter": "./C", "labels": ["./a"]},
    )


def test_versions_work_in_one_file_for_all_tasks_too(tmp_path: Path) -> None:
    """One broken version breaks its task, and no other one."""
    file = tmp_path / "tasks.yaml"
    file.write_text(
        "tasks: [{name: a, versions: [{adapter: x}, {adapter: y}]},"
        " {name: b, versions: [{adapter: x}, {adaptor: y}]}]",
        encoding="utf-8",
    )
    found = read_task_file(str(file))
    assert [(plan.name, len(plan.versions)) for plan in found.plans] == [("a", 2)]
    assert found.broken[0].name == "b"
    assert "versions.1.adaptor" in found.broken[0].reason
