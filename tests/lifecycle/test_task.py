"""Which version of a task answers."""

from __future__ import annotations

from collections import Counter

import pytest

from adapter_runtime import Note, RejectedAdapter
from serving.errors import Quarantined, StillLoading, VersionRetired
from serving.errors import refusal as refused
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task, refusal
from tests.lifecycle.living import Life, file_of, numbered, task_plan, version_plan
from tests.serving.fake_engine import FakeEngine

NOW_S = 1000.0


def with_states(*states: State, weights: tuple[float | None, ...] = ()) -> Task:
    """A task whose versions are in these states, oldest first."""
    plans = [
        version_plan(str(number), weight=weights[number] if weights else None)
        for number in range(len(states))
    ]
    task = Life(FakeEngine(), task_plan(*plans)).task()
    for version, state in zip(task.versions, states, strict=True):
        version.state = state
        if state in (State.REJECTED, State.QUARANTINED):
            version.reasons = (Note("some_reason", f"Because of {version.id}."),)
        if state is State.QUARANTINED:
            version.retry_at_s = NOW_S + 20
    return task


def chosen(task: Task, times: int = 1) -> Counter[str | None]:
    """Whom the next requests get."""
    return Counter(task.choose(NOW_S).id for _ in range(times))


STATES: tuple[tuple[State, bool, type[Exception]], ...] = (
    (State.REJECTED, False, RejectedAdapter),
    (State.QUARANTINED, False, Quarantined),
    (State.CHECKING, False, StillLoading),
    (State.CHECKING, True, VersionRetired),
    (State.RETIRED, False, VersionRetired),
)


@pytest.mark.parametrize(("state", "is_leaving", "kind"), STATES)
def test_who_is_asked_for_by_id_says_why_it_cannot_answer(
    state: State, is_leaving: bool, kind: type[Exception]
) -> None:
    """One that was deleted, or cut short, while somebody waited for it was not rejected."""
    version = with_states(state).versions[0]
    version.is_leaving = is_leaving
    error = refusal(version, NOW_S)
    assert isinstance(error, kind)
    assert not isinstance(error, RejectedAdapter) or error.problems


def test_the_newest_ready_version_takes_all() -> None:
    """Without weights there is no sharing."""
    task = with_states(State.READY, State.READY, State.PENDING)
    assert chosen(task, 5) == {"v1": 5}
    assert [task.serving().get(each) for each in task.versions] == [None, 1.0, None]


def test_before_any_is_ready_the_newest_that_may_become_so_is_tried() -> None:
    """One that was refused for good is passed over."""
    assert chosen(with_states(State.PENDING, State.PENDING)) == {"v1": 1}
    assert chosen(with_states(State.PENDING, State.REJECTED)) == {"v0": 1}


def test_weights_share_the_traffic_exactly() -> None:
    """A version without one gets nothing where another has one."""
    task = with_states(State.READY, State.READY, State.READY, weights=(90, 10, None))
    assert chosen(task, 100) == {"v0": 90, "v1": 10}


def test_a_quarantined_version_leaves_its_share_to_the_others() -> None:
    """With weights and without."""
    task = with_states(State.READY, State.QUARANTINED, weights=(10, 90))
    assert chosen(task, 10) == {"v0": 10}
    assert chosen(with_states(State.READY, State.QUARANTINED), 3) == {"v0": 3}


def test_versions_of_no_weight_take_over_when_none_with_weight_can() -> None:
    """Promoted and then quarantined, the one before answers."""
    task = with_states(State.READY, State.QUARANTINED, weights=(0, 100))
    assert chosen(task) == {"v0": 1}


def test_the_heaviest_is_admitted_first() -> None:
    """At a first use a canary has to wait."""
    task = with_states(State.PENDING, State.PENDING, weights=(90, 10))
    assert chosen(task) == {"v0": 1}


def test_all_refused_gives_the_newest_ones_reasons() -> None:
    """And no other's."""
    with pytest.raises(RejectedAdapter, match="Because of v1") as caught:
        with_states(State.REJECTED, State.REJECTED).choose(NOW_S)
    assert "v0" not in str(caught.value)


def test_who_is_tried_again_by_itself_says_when() -> None:
    """A hub that is away comes back; a checkpoint that is wrong stays wrong."""
    task = with_states(State.REJECTED)
    with pytest.raises(RejectedAdapter) as wrong:
        task.choose(NOW_S)
    assert refused(wrong.value).retry_after_s is None
    task.versions[0].retry_at_s = NOW_S + 20
    with pytest.raises(RejectedAdapter) as away:
        task.choose(NOW_S)
    assert (refused(away.value).status, refused(away.value).retry_after_s) == (424, 20)


def test_quarantined_and_nothing_else_says_when_to_come_back() -> None:
    """As a server that is busy."""
    with pytest.raises(Quarantined) as caught:
        with_states(State.REJECTED, State.QUARANTINED).choose(NOW_S)
    assert caught.value.retry_after_s == 20


def test_a_shadow_never_answers() -> None:
    """Though it is the newest and ready."""
    life = Life(FakeEngine(), task_plan(version_plan("1"), version_plan("2", shadow=True)))
    for version in life.task().versions:
        version.state = State.READY
    assert chosen(life.task(), 3) == {"v1": 3}
    assert [each.id for each in life.task().shadows()] == ["v2"]


def test_versions_that_left_answer_while_no_version_of_the_plan_can() -> None:
    """An edit that turns out to be broken takes nothing down."""
    life = Life(FakeEngine(), numbered("1"))
    life.admit_first()
    life.tasks.apply(file_of(numbered("2", folder="broken")))
    assert chosen(life.task()) == {"v1": 1}
    life.tend()
    assert life.version("v2").state is State.REJECTED
    assert chosen(life.task()) == {"v1": 1}


def test_a_ready_shadow_is_no_reason_for_who_serves_to_leave() -> None:
    """It answers nobody; the version that left does until its successor can."""
    shadow = version_plan("9", shadow=True)
    life = Life(FakeEngine(), task_plan(version_plan("1"), shadow))
    life.admit_first()
    life.admit(life.version("v9"))
    life.change(task_plan(version_plan("2"), shadow))
    assert chosen(life.task()) == {"v1": 1}
    life.tend()
    assert chosen(life.task()) == {"v2": 1}


def test_a_version_that_was_rolled_back_is_the_last_resort() -> None:
    """Any other that can answer goes before it; none at all would be worse."""
    old, bad = version_plan("1"), version_plan("2", rolled_back="too many errors")
    life = Life(FakeEngine(), task_plan(old, bad))
    assert life.admit_first().id == "v1"
    alone = Life(FakeEngine(), task_plan(bad))
    assert alone.admit_first().id == "v2"
