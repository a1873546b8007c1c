"""Who gets a task's traffic: promoting, rolling back, weights and shadows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from adapter_runtime import InvalidInput, UnknownTask
from serving.catalog.changes import retire, set_pinned
from serving.catalog.shares import promote, rollback, set_traffic
from serving.catalog.store import Entry
from serving.errors import UnknownVersion, VersionConflict, VersionRetired
from tests.catalog.making import KNOWN, added, known, of, plan, weights

ONE, TWO, THREE = ({"id": str(at), "adapter": f"./{at}"} for at in (1, 2, 3))


def weighted(**given: float) -> Entry:
    """Versions 1, 2, 3 with weights such as `v1=90`."""
    return of(*({**one, "weight": given.get(f"v{one['id']}", 0)} for one in (ONE, TWO, THREE)))


def test_promoted_version_has_all_and_the_weights_before_are_remembered() -> None:
    """For the rollback that may follow."""
    made = promote(weighted(v1=90, v2=10), "2", KNOWN)
    assert weights(made) == {"1": 0, "2": 100, "3": 0}
    assert made["previous_weights"] == {"1": 90, "2": 10, "3": 0}


def test_rollback_brings_the_weights_before_back() -> None:
    """Exactly those; asked for by hand it is nothing more."""
    made = rollback(promote(weighted(v1=90, v2=10), "2", KNOWN), "2", KNOWN)
    assert made == weighted(v1=90, v2=10)


def test_rollback_for_a_reason_leaves_the_version_nothing() -> None:
    """What fails must not answer a tenth of the requests either."""
    made = rollback(promote(weighted(v1=90, v2=10), "2", KNOWN), "2", KNOWN, "too many errors")
    assert weights(made) == {"1": 90, "2": 0, "3": 0}
    assert made["versions"][1]["rolled_back"] == "too many errors"
    assert "previous_weights" not in made


def test_rollback_of_a_rollout_goes_back_one_step() -> None:
    """Weights set by hand are remembered like those before a promotion."""
    step = set_traffic(weighted(v1=100), {"1": 90, "2": 10}, [], KNOWN)
    assert weights(rollback(step, "2", KNOWN, "bad")) == {"1": 100, "2": 0, "3": 0}


def test_repeated_promotion_does_not_forget() -> None:
    """The weights before are those before the first."""
    once = promote(weighted(v1=90, v2=10), "2", KNOWN)
    assert promote(once, "2", KNOWN) == once


def test_repeated_rollback_changes_nothing() -> None:
    """Two processes may find the same fault."""
    once = rollback(weighted(v1=90, v2=10), "2", KNOWN, "bad")
    assert rollback(once, "2", KNOWN, "bad") == once


@pytest.mark.parametrize(
    ("answering", "previous"), ((None, None), ("2", {"1": 0, "2": 100, "3": 0}))
)
def test_promotion_without_weights_before(answering: Any, previous: Any) -> None:
    """The version that answered is remembered, if it was another one."""
    made = promote(of(ONE, TWO, THREE), "3", KNOWN, answering)
    assert weights(made) == {"1": 0, "2": 0, "3": 100}
    assert made.get("previous_weights") == previous


@pytest.mark.parametrize(
    ("usable", "taker"), ((None, "2"), (["1", "2"], "2"), (["1"], "1"), (["3", "1"], "1"))
)
def test_rollback_without_weights_before_gives_all_to_the_next_older(
    usable: Any, taker: str
) -> None:
    """The nearest that could answer."""
    made = rollback(of(ONE, TWO, THREE), "3", KNOWN, usable=usable)
    assert weights(made) == {"1": 0, "2": 0, "3": 0} | {taker: 100}
    assert made["versions"][2]["rolled_back"]


def test_rollback_of_a_canary_keeps_the_shares_of_the_others() -> None:
    """Only its own part is given away."""
    made = rollback(weighted(v1=60, v2=30, v3=10), "3", KNOWN, "bad")
    assert weights(made) == {"1": 60, "2": 30, "3": 0}


def test_rollback_never_gives_the_version_more() -> None:
    """Weights before in which it had a larger part are no way back from it."""
    entry = {**weighted(v1=90, v2=10), "previous_weights": {"1": 10, "2": 90}}
    assert weights(rollback(entry, "2", KNOWN)) == {"1": 100, "2": 0, "3": 0}


@pytest.mark.parametrize(
    ("entry", "id", "usable"),
    (
        (of(ONE), "1", None),
        (of(ONE, TWO), "2", ["2"]),
        (of(ONE, TWO), "1", None),
        (weighted(v1=100), "3", None),
    ),
)
def test_rollback_that_cannot_be_is_a_conflict(entry: Entry, id: str, usable: Any) -> None:
    """Nobody to take over, or nothing to take away."""
    with pytest.raises(VersionConflict):
        rollback(entry, id, KNOWN, usable=usable)


@pytest.mark.parametrize("weight", (None, 1))
def test_rollback_of_a_shadow_switches_it_off(weight: float | None) -> None:
    """Also where it would be the newest that takes all."""
    first = ONE if weight is None else {**ONE, "weight": weight}
    made = rollback(of(first, {**TWO, "shadow": True}), "2", KNOWN, "differs")
    two = plan(made).versions[1]
    assert (two.shadow, two.rolled_back, two.weight or 0) == (False, "differs", 0)
    assert plan(made).versions[0].weight == weight


def test_traffic_is_shared_out_and_shadows_are_set() -> None:
    """Who is not named gets nothing; who answers again is rolled back no more."""
    entry = of(ONE, {**TWO, "rolled_back": "bad"}, {**THREE, "shadow": True})
    made = set_traffic(entry, {"1": 9, "2": 1.5}, ["3"], KNOWN)
    assert made["versions"] == [
        {**ONE, "weight": 9},
        {**TWO, "weight": 1.5},
        {**THREE, "shadow": True},
    ]
    assert made["previous_weights"] == {"1": 100, "2": 0}
    assert plan(set_traffic(made, {"3": 1}, [], KNOWN)).versions[2].weight == 1


def test_no_weights_leave_all_to_the_newest() -> None:
    """Also to one that a rollback had left without."""
    made = set_traffic(rollback(of(ONE, TWO), "2", KNOWN), None, [], KNOWN)
    assert made["versions"] == [ONE, TWO]


def test_switching_a_shadow_brings_nothing_back_that_was_rolled_back() -> None:
    """Where there were no weights, none are taken away."""
    entry = of(ONE, {**TWO, "rolled_back": "differs"})
    assert set_traffic(entry, None, [], KNOWN) == entry


BAD_TRAFFIC: tuple[tuple[Any, list[str], str], ...] = (
    ({"1": -1}, [], "weights.1"),
    ({"1": math.nan}, [], "weights.1"),
    ({"1": math.inf}, [], "weights.1"),
    ({"1": 1e308, "2": 1e308}, [], "weights.1"),
    ({"1": True}, [], "weights.1"),
    ({"1": "9"}, [], "weights.1"),
    ({"1": 0}, [], "weights"),
    ({}, [], "weights"),
    ({"1": 1}, ["1"], "weights.1"),
    (None, ["1", "2"], "shadow"),
)


@pytest.mark.parametrize(("given", "shadow", "field"), BAD_TRAFFIC)
def test_wrong_shares_name_the_field(given: Any, shadow: list[str], field: str) -> None:
    """Nothing is written."""
    with pytest.raises(InvalidInput) as caught:
        set_traffic(of(ONE, TWO), given, shadow, KNOWN)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("id", "error"), (("9", UnknownVersion), ("0", VersionRetired), ("", UnknownVersion))
)
def test_ids_that_are_not_there(id: str, error: type[Exception]) -> None:
    """Never there, or there once: for every change alike."""
    entry = of(ONE, TWO, retired=["0"])
    for change in (
        lambda: promote(entry, id, KNOWN),
        lambda: rollback(entry, id, KNOWN),
        lambda: set_traffic(entry, {id: 1}, [], KNOWN),
        lambda: set_traffic(entry, None, [id], KNOWN),
        lambda: set_pinned(entry, id, True, KNOWN),
        lambda: retire(entry, id, KNOWN),
    ):
        with pytest.raises(error):
            change()


def test_task_that_is_gone_is_unknown() -> None:
    """Somebody else deleted it."""
    with pytest.raises(UnknownTask):
        promote(None, "1", KNOWN)


def test_versions_without_ids_get_those_that_were_found() -> None:
    """From then on no edit of their meaning gives them others."""
    a, b = {"adapter": "./a"}, {"adapter": "./b"}
    made = promote(of(a, b), "a" * 12, known((a, "a"), (b, "b")))
    assert weights(made) == {"a" * 12: 100, "b" * 12: 0}
    assert [each["digest"] for each in made["versions"]] == ["a" * 64, "b" * 64]


def test_pin_of_a_plain_entry_stays_plain() -> None:
    """It looks as a person would write it."""
    a = {"adapter": "./a"}
    made = set_pinned({"name": "t", **a}, "a" * 12, True, known((a, "a")))
    assert made == {"name": "t", "adapter": "./a", "pinned": True}


def test_pin_is_of_one_version_whatever_the_task_says() -> None:
    """And asking for what is so already changes nothing."""
    entry = of(ONE, TWO, pinned=True)
    made = set_pinned(entry, "1", False, KNOWN)
    assert [each.spec.pinned for each in plan(made).versions] == [False, True]
    assert set_pinned(made, "2", True, KNOWN) == made


def test_retired_version_is_remembered_and_forgotten_in_weights() -> None:
    """Its id answers 410; nothing rolls back to it."""
    entry = {**weighted(v1=1, v2=1), "previous_weights": {"1": 0, "3": 100}}
    made = retire(entry, "3", KNOWN)
    assert (weights(made), made["retired"]) == ({"1": 1, "2": 1}, ["3"])
    assert "previous_weights" not in made


@pytest.mark.parametrize(
    "entry", (of(ONE), {"name": "t"}, weighted(v1=1), of(ONE, {**TWO, "shadow": True}))
)
def test_version_that_alone_answers_is_not_retired(entry: Entry) -> None:
    """The task would be there and answer nobody."""
    id = "1" if "versions" in entry else plan(entry).versions[0].key[:12]
    with pytest.raises(VersionConflict):
        retire(entry, id, KNOWN)


def test_added_version_can_be_promoted_and_rolled_back() -> None:
    """The way of a release, as its files show it."""
    entry = added(None, {"id": "1", "adapter": "./1"})
    entry = added(entry, {"id": "2", "adapter": "./2", "weight": 10})
    entry = promote(entry, "2", KNOWN)
    assert entry["previous_weights"] == {"1": 90, "2": 10}
    assert weights(rollback(entry, "2", KNOWN, "bad")) == {"1": 90, "2": 0}
