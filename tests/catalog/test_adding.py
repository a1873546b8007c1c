"""What a request body makes of a task's entry."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_runtime import InvalidInput
from serving.catalog.changes import replace_task
from serving.errors import BrokenEntry, VersionConflict
from tests.catalog.making import BASE, KNOWN, added, ids, known, of, plan, put, weights

A, B, C = {"adapter": "./a"}, {"adapter": "./b"}, {"adapter": "./c"}


def test_first_version_makes_a_plain_entry() -> None:
    """It looks as a person would write it."""
    assert added(None, A) == {"name": "t", "adapter": "./a"}


def test_first_version_with_an_id_is_written_as_a_version() -> None:
    """A plain entry could not say the id; the rule stays the task's."""
    body = {**A, "id": 1, "labels": ["x"], "rollback": {"error_rate": 0.1}}
    assert added(None, body) == {
        "name": "t",
        "versions": [{"id": 1, "adapter": "./a", "labels": ["x"]}],
        "rollback": {"error_rate": 0.1},
    }


def test_second_version_turns_a_plain_entry_into_versions_with_the_ids_found() -> None:
    """The first keeps the id that clients know."""
    entry = added({"name": "t", **A}, B, known((A, "a")), digest="b" * 64)
    assert entry["versions"] == [
        {"id": "a" * 12, "digest": "a" * 64, "adapter": "./a"},
        {"id": "b" * 12, "digest": "b" * 64, "adapter": "./b"},
    ]


def test_what_differs_moves_down_and_what_both_say_stays() -> None:
    """Neither version's meaning changes by what the other one says."""
    first = {"name": "t", **A, "labels": ["x"], "limits": {"max_tokens": 8}, "pinned": True}
    entry = added(first, {**B, "limits": {"max_tokens": 8}, "kind": "fill-mask"})
    assert entry == {
        "name": "t",
        "limits": {"max_tokens": 8},
        "versions": [
            {"adapter": "./a", "labels": ["x"], "pinned": True},
            {"adapter": "./b", "kind": "fill-mask"},
        ],
    }


def test_new_version_takes_nothing_over_from_the_task() -> None:
    """A body states all of a version; sending it twice means the same twice."""
    task = {"labels": ["x"], "options": {"pooling": "mean"}, "pinned": True}
    entry = added(of({"id": "1", **A}, **task), {"id": "2", **B})
    alone = plan({"name": "t", **B}).versions[0].spec
    assert plan(entry).versions[1].spec == alone
    assert plan(entry).versions[0].spec.labels == ("x",)


def test_same_id_and_meaning_changes_nothing() -> None:
    """A repeated request is no second version."""
    entry = of({"id": "1", **A}, {"id": "2", **B})
    assert added(entry, {"id": "1", **A}) == entry


@pytest.mark.parametrize(
    ("body", "digest"),
    (({"id": "1", **B}, None), ({"id": "1", **A}, "f" * 64), ({"id": "0", **B}, None)),
)
def test_id_of_something_else_is_a_conflict(body: dict[str, Any], digest: str | None) -> None:
    """Another adapter, other files, or a version that is retired."""
    entry = of({"id": "1", "digest": "e" * 64, **A}, retired=["0"])
    with pytest.raises(VersionConflict, match="another id"):
        added(entry, body, digest=digest)


def test_equal_version_without_an_id_becomes_the_newest() -> None:
    """Going back to an older one is putting it again; its id stays."""
    entry = of({"id": "1", **A, "rolled_back": "bad"}, {"id": "2", **B})
    assert added(entry, A)["versions"] == [{"id": "2", **B}, {"id": "1", **A}]


def test_newest_version_that_was_rolled_back_stays_so_when_it_is_sent_again() -> None:
    """What repeats its requests must not bring a bad version back."""
    entry = of({"id": "1", **A}, {"id": "2", **B, "rolled_back": "bad"})
    assert added(entry, B) == entry


def test_other_files_at_the_same_place_are_another_version() -> None:
    """The folder was written anew; what was served from it keeps its digest."""
    entry = added(of({"id": "1", "digest": "a" * 64, **A}), A, digest="b" * 64)
    assert ids(entry) == ["1", "b" * 12]


def test_same_files_at_another_place_are_the_same_version() -> None:
    """The digest tells content, not where it lies."""
    entry = of({"id": "1", "digest": "a" * 64, **A}, {"id": "2", **B})
    assert added(entry, C, digest="a" * 64)["versions"][1] == {
        "id": "1",
        "digest": "a" * 64,
        "adapter": "./c",
    }


def test_retired_content_that_comes_back_is_retired_no_more() -> None:
    """Its id is its digest's: it stands for the same."""
    entry = added(of({"id": "1", **A}, retired=["b" * 12, "0"]), B, digest="b" * 64)
    assert entry["retired"] == ["0"]


def test_version_among_weights_starts_at_0() -> None:
    """Nothing gets traffic because it came."""
    assert weights(added(of({"id": "1", **A, "weight": 5}), {"id": "2", **B})) == {"1": 5, "2": 0}


@pytest.mark.parametrize(("weight", "rest"), ((10, 90), (100, 0), (250, 0), (0, 100), (0.5, 99.5)))
def test_first_weight_is_a_share_of_100(weight: float, rest: float) -> None:
    """Without this a canary's weight would be all the weight there is."""
    entry = added(of({"id": "1", **A}, {"id": "2", **C}), {"id": "3", **B, "weight": weight})
    assert weights(entry) == {"1": None, "2": rest, "3": weight}


def test_shadow_takes_no_weight() -> None:
    """Neither with nor without weights around it."""
    entry = added(of({"id": "1", **A, "weight": 5}), {"id": "2", **B, "shadow": True})
    assert entry["versions"][1] == {"id": "2", "shadow": True, **B}


@pytest.mark.parametrize(
    ("entry", "body", "words"),
    (
        (None, {**A, "weight": 0}, "weight"),
        (None, {**A, "shadow": True}, "nobody would answer"),
        (of({"id": "1", **A, "weight": 1}), {"id": "1", **A, "weight": 0}, "all weights are 0"),
        (of(*({"id": str(at), **A} for at in range(64))), {"id": "x", **A}, "at most 64"),
    ),
)
def test_change_that_leaves_nobody_or_too_many_is_refused(
    entry: Any, body: dict[str, Any], words: str
) -> None:
    """Before it is written."""
    with pytest.raises(InvalidInput, match=words):
        added(entry, body)


def test_superseded_versions_are_dropped_beyond_what_is_kept() -> None:
    """Refused ones first, then the oldest; only those that nobody uses."""
    entry = of(
        *({"id": str(at), "adapter": f"./{at}"} for at in range(5)),
        {"id": "s", "adapter": "./s", "shadow": True},
        previous_weights={"0": 1, "1": 1},
    )
    made = added(
        entry, {"id": "n", **A}, keep=2, droppable=["0", "1", "3", "4", "s"], rejected=["3"]
    )
    assert ids(made) == ["1", "2", "4", "s", "n"]
    assert made["retired"] == ["3", "0"]
    assert made["previous_weights"] == {"1": 1}


def test_only_so_many_retired_ids_are_remembered() -> None:
    """The file does not grow without end."""
    entry = of({"id": "1", **A}, {"id": "2", **B}, retired=[f"r{at}" for at in range(64)])
    made = added(entry, {"id": "3", **C}, keep=0, droppable=["1"])
    assert made["retired"] == [*(f"r{at}" for at in range(1, 64)), "1"]


def test_whole_task_replaces_and_keeps_what_is_known_of_its_versions() -> None:
    """Ids and digests stay with what means the same; the rest is retired."""
    entry = of({"id": "1", "digest": "a" * 64, "rolled_back": "bad", **A}, {"id": "2", **B})
    made = replace_task(entry, put(versions=[A, {"id": "3", **C}]), KNOWN)
    assert made == {
        "name": "t",
        "versions": [
            {"adapter": "./a", "id": "1", "digest": "a" * 64, "rolled_back": "bad"},
            {"id": "3", "adapter": "./c"},
        ],
        "retired": ["2"],
    }


def test_whole_task_cannot_give_an_id_to_something_else() -> None:
    """A version never changes."""
    with pytest.raises(VersionConflict):
        replace_task(of({"id": "1", **A}), put(versions=[{"id": "1", **B}]), KNOWN)


def test_broken_entry_can_be_replaced_but_not_added_to() -> None:
    """Nobody knows what its versions are."""
    broken = {"name": "t", "adaptor": "./a"}
    assert replace_task(broken, put(versions=[B]), KNOWN)["versions"] == [B]
    with pytest.raises(BrokenEntry, match=r"adaptor.*put all of it"):
        added(broken, B)


def test_null_for_versions_says_nothing() -> None:
    """It is one version, as where the key is left out."""
    assert added(None, {**A, "versions": None}) == {"name": "t", **A}


BAD_BODIES: tuple[tuple[Any, str], ...] = (
    ([], "body"),
    ({"name": "u", **A}, "name"),
    ({"adaptor": "x"}, "adaptor"),
    ({"limits": {"max_tokens": 0}}, "limits.max_tokens"),
    ({"weight": -1}, "weight"),
    ({"weight": 1, "shadow": True}, "weight"),
    ({"id": ".x"}, "id"),
    ({}, "adapter"),
    ({"limits": {"max_tokens": 8}, "id": "1"}, "adapter"),
    ({"versions": None}, "adapter"),
    ({**A, "weight": 1e308}, "weight"),
    ({"id": "1", "versions": [A]}, "id"),
    ({"versions": [A, {"adaptor": 1}]}, "versions.1.adaptor"),
    ({"retired": ["1"]}, "retired"),
    ({"adapter": "~nosuchuser/x"}, "body"),
    ({"adapter": {"stack": [{"stack": [{"stack": [{"stack": [{"stack": ["x"]}]}]}]}]}}, "adapter"),
)


@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
def test_wrong_body_names_its_field(body: Any, field: str) -> None:
    """Clients read it; nothing is written."""
    from serving.catalog.puts import read_put

    with pytest.raises(InvalidInput) as caught:
        read_put("t", body, BASE)
    assert str(caught.value).split(":")[0].split(" ")[0] == field
