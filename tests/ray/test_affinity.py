"""Which replica a task goes to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.ray_serve.affinity import FLOOR, Candidate, bound, rank

TASKS = [f"task-{number}" for number in range(2000)]
REPLICAS = st.lists(
    st.builds(
        Candidate,
        id=st.integers(0, 10**6).map(str),
        load=st.integers(0, 60),
        room=st.integers(1, 50),
        is_resident=st.booleans(),
        is_refused=st.booleans(),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda each: each.id,
)


def idle(*ids: str) -> list[Candidate]:
    """Replicas with nothing to do and nothing loaded."""
    return [Candidate(id, load=0, room=100) for id in ids]


def homes(*ids: str) -> dict[str, str]:
    """Where each task goes while nothing is loaded anywhere."""
    replicas = idle(*ids)
    return {task: rank(task, replicas)[0].id for task in TASKS}


@pytest.mark.parametrize(
    ("replicas", "best"),
    (
        ([Candidate("a", 0, 9), Candidate("b", 0, 9, is_resident=True)], "b"),
        ([Candidate("a", 0, 90), Candidate("b", 40, 90, is_resident=True)], "a"),
        ([Candidate("a", 3, 3, is_resident=True), Candidate("b", 3, 9)], "b"),
        ([Candidate("a", 50, 90, is_refused=False), Candidate("b", 0, 90, is_refused=True)], "a"),
        ([Candidate("a", 0, 9, is_refused=True)], "a"),
        ([Candidate("a", 9, 9), Candidate("b", 8, 8)], "b"),
    ),
    ids=("resident", "overloaded", "full", "refused", "only one", "all full"),
)
def test_the_best_replica(replicas: list[Candidate], best: str) -> None:
    """Weights draw a request, load and refusals push it away."""
    assert rank("sentiment", replicas)[0].id == best


def test_tasks_spread_over_replicas() -> None:
    """No replica is home to far more tasks than the mean."""
    counts = Counter(homes("a", "b", "c", "d", "e").values())
    assert max(counts.values()) < 1.25 * len(TASKS) / 5


@pytest.mark.parametrize("gone", "abcd")
def test_only_the_tasks_of_a_replica_that_goes_move(gone: str) -> None:
    """What lived on the others stays there; read backwards: a new one takes only its share."""
    before = homes(*"abcd")
    after = homes(*"abcd".replace(gone, ""))
    assert {task for task in TASKS if before[task] != after[task]} == {
        task for task in TASKS if before[task] == gone
    }


def test_a_hot_task_is_shared_out() -> None:
    """Requests for one task alone reach every replica, none far above the mean."""
    loads = dict.fromkeys("abcd", 0)
    for _ in range(200):
        replicas = [Candidate(id, load, 1000) for id, load in loads.items()]
        loads[rank("hot", replicas)[0].id] += 1
    assert max(loads.values()) <= bound([50] * 4)
    assert min(loads.values()) > 0


@given(st.text(), REPLICAS)
def test_no_one_exceeds_the_bound_while_another_has_room(
    task: str, replicas: list[Candidate]
) -> None:
    """A request goes above the bound only where no replica that can serve it is below."""
    best = rank(task, replicas)[0]
    most = bound([each.load for each in replicas])
    have_room = [
        each
        for each in replicas
        if each.load < min(most, each.room) and each.is_refused == best.is_refused
    ]
    assert best in have_room or not have_room


@given(st.text(), REPLICAS, st.randoms())
def test_the_order_does_not_depend_on_how_replicas_are_listed(
    task: str, replicas: list[Candidate], random: st.DataObject
) -> None:
    """Every ingress ranks alike, and forgets no replica."""
    shuffled = list(replicas)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(task, replicas) == rank(task, shuffled)
    assert sorted(each.id for each in replicas) == sorted(each.id for each in rank(task, replicas))


def test_few_requests_stay_together() -> None:
    """Below the floor a task keeps to its home: so few share a forward."""
    home = rank("quiet", idle("a", "b"))[0].id
    replicas = [Candidate(id, FLOOR - 1 if id == home else 0, 100) for id in "ab"]
    assert rank("quiet", replicas)[0].id == home


def test_without_replicas_there_is_no_order() -> None:
    """Nothing to choose from is no error."""
    assert rank("any", []) == []
