from __future__ import annotations

import pytest

from serving.catalog.plans import RollbackRule, TaskPlan
from serving.lifecycle.judging.shadow import Target, targets_of
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.version import Version
from tests.lifecycle.ready_versions import ready

WATCHED = RollbackRule(disagreement=0.2, min_requests=2)


def task_of(*versions: Version, rule: RollbackRule | None = WATCHED) -> Task:
    """A live task of these versions."""
    task = Task("topic")
    task.plan = TaskPlan("topic", tuple(each.plan for each in versions), rollback=rule)
    task.versions = versions
    return task


def test_a_shadow_gets_copies_of_what_others_answer() -> None:
    """It is judged itself, with or without a rule."""
    first, shadow = ready("1"), ready("2", shadow=True)
    assert shadow.prepared
    for rule in (WATCHED, None):
        found = targets_of(task_of(first, shadow, rule=rule), first)
        assert [Target(shadow.prepared, judged=shadow, is_shadow=True)] == found


def test_a_canary_is_held_against_the_heaviest_version() -> None:
    """Where the rule looks at disagreement; the heaviest version's answers are not copied."""
    first, canary = ready("1", 90), ready("2", 10)
    assert first.prepared
    task = task_of(first, canary)
    assert [Target(first.prepared, judged=canary, is_shadow=False)] == targets_of(task, canary)
    assert [] == targets_of(task, first)
    assert [] == targets_of(task_of(first, canary, rule=None), canary)
    errors_only = RollbackRule(error_rate=0.1)
    assert [] == targets_of(task_of(first, canary, rule=errors_only), canary)


@pytest.mark.parametrize("weight", (90, 50))
def test_the_newer_version_is_the_one_on_trial(weight: float) -> None:
    """Also when it has most of the traffic already, or just as much."""
    old, new = ready("1", 100 - weight), ready("2", weight)
    task = task_of(old, new)
    found = [*targets_of(task, old), *targets_of(task, new)]
    assert [new] == [target.judged for target in found]


def test_a_version_outside_the_traffic_is_not_copied() -> None:
    """A client that asked for a shadow or an old version by id tells nothing about others."""
    old, new, shadow = ready("1", 0), ready("2", 100), ready("3", shadow=True)
    task = task_of(old, new, shadow)
    assert [[], []] == [targets_of(task, old), targets_of(task, shadow)]


def test_a_shadow_that_is_not_ready_gets_nothing() -> None:
    """It is checked first."""
    first, shadow = ready("1"), ready("2", shadow=True)
    shadow.state = State.CHECKING
    assert [] == targets_of(task_of(first, shadow), first)
