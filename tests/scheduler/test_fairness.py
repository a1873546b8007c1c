"""Shares of the device as tables: callers by weight, their tasks, ranks. No clock, no threads."""

from __future__ import annotations

from collections import Counter

import pytest

from serving.scheduler.drafts import Budget, Draft
from serving.scheduler.entries import NUM_RANKS, Entry
from serving.scheduler.policy import LOW_TURN, FairQueue
from tests.scheduler.rig import entry

SMALL = Budget(300, 100, 50)
Flow = tuple[str, str]


def asked(
    caller: str, task: str, *lengths: int, weight: float = 1.0, priority: int = 0, low: bool = False
) -> Entry:
    """An entry of a caller."""
    made = entry(task, *lengths, is_low=low, within_s=1e9)
    made.caller, made.weight, made.priority = caller, weight, priority
    return made


def draft(queue: FairQueue, budget: Budget = SMALL, cold: str = "") -> Draft:
    """The next batch when one task is cold."""
    found = queue.next_batch(0.0, budget, lambda version: version.task != cold)
    queue.check_integrity()
    return found


def shares(queue: FairQueue, num_batches: int, part: int) -> dict[str, float]:
    """What callers (part 0) or tasks (part 1) had of some batches' tokens."""
    had: Counter[str] = Counter()
    for _ in range(num_batches):
        for pick in draft(queue).picks:
            flow = pick.entry.caller, pick.entry.version.task
            had[flow[part]] += pick.entry.tokens_of((pick.row,))
    return {name: tokens / had.total() for name, tokens in had.items()}


def filled(*flows: tuple[str, str, float, int], tokens: int = 20_000) -> FairQueue:
    """A queue with plenty of every flow: caller, task, weight and length of rows."""
    queue = FairQueue()
    for caller, task, weight, length in flows:
        for _ in range(tokens // length):
            queue.add(asked(caller, task, length, weight=weight))
    return queue


def test_a_caller_with_ten_tasks_gets_no_more_than_one_with_one() -> None:
    """And shares it out among the ten."""
    flows = [("many", f"t{number}", 1.0, 20) for number in range(10)]
    queue = filled(*flows, ("one", "t0", 1.0, 20))
    assert shares(queue, 40, 0) == {
        "many": pytest.approx(0.5, abs=0.02),
        "one": pytest.approx(0.5, abs=0.02),
    }
    tasks = shares(queue, 40, 1)
    assert tasks["t9"] == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("lengths", ((20, 20, 20), (200, 5, 40)))
@pytest.mark.parametrize("weights", ((1.0, 1.0, 1.0), (1.0, 2.0, 5.0), (0.01, 0.02, 0.07)))
def test_callers_share_by_weight(weights: tuple[float, ...], lengths: tuple[int, ...]) -> None:
    """Whatever the length of their rows, and however small the weights."""
    given = zip("abc", weights, lengths, strict=True)
    queue = filled(*((name, "t", weight, length) for name, weight, length in given))
    found = shares(queue, 60, 0)
    for name, weight in zip("abc", weights, strict=True):
        assert found[name] == pytest.approx(weight / sum(weights), abs=0.03)


def test_without_keys_tasks_share_evenly() -> None:
    """All are one caller's."""
    found = shares(filled(("", "a", 1.0, 5), ("", "b", 1.0, 100), ("", "c", 1.0, 30)), 40, 1)
    assert found == {task: pytest.approx(1 / 3, abs=0.03) for task in "abc"}


def test_who_comes_back_still_owes_what_they_had_too_much() -> None:
    """One long row after the other, each sent when the last is answered, is no way to more."""
    queue, had = filled(("", "short", 1.0, 10)), Counter[str]()
    for _ in range(60):
        if not any(each.version.task == "long" for each in queue):
            queue.add(asked("", "long", 290))
        for pick in draft(queue).picks:
            had[pick.entry.version.task] += pick.entry.tokens_of((pick.row,))
    assert had["long"] / had.total() == pytest.approx(0.5, abs=0.05)


def test_who_was_away_has_saved_nothing_up() -> None:
    """A new flow gets its share, and not what it did not want before."""
    queue = filled(("old", "t", 1.0, 10))
    for _ in range(20):
        draft(queue)
    for _ in range(500):
        queue.add(asked("new", "t", 10))
    assert shares(queue, 6, 0)["new"] == pytest.approx(0.5, abs=0.05)


def test_who_waited_for_weights_has_saved_nothing_up() -> None:
    """Neither the task nor its caller."""
    queue = filled(("old", "warm", 1.0, 10), ("new", "cold", 1.0, 10))
    for _ in range(20):
        draft(queue, cold="cold")
    assert shares(queue, 6, 0)["new"] == pytest.approx(0.5, abs=0.05)


def test_rows_that_come_back_are_not_paid_for_twice() -> None:
    """What found no room on the device goes before all that has had its share."""
    queue = filled(*(("", task, 1.0, 100) for task in "abcd"))
    first = draft(queue)
    for pick in first.picks:
        queue.put_back(pick.entry, (pick.row,))
    queue.check_integrity()
    again = draft(queue, Budget(400, 100, 50))
    assert {pick.entry for pick in again.picks} > {pick.entry for pick in first.picks}


def test_higher_priorities_go_first_whoever_asks() -> None:
    """What they leave goes to the next, down to rows that nobody waits for."""
    queue = FairQueue()
    for priority, low in ((-1, False), (0, True), (0, False), (1, False)):
        queue.add(asked("", f"{priority} {low}", *[20] * 6, priority=priority, low=low))
    order = [pick.entry.version.task for pick in draft(queue).picks]
    assert order == ["1 False"] * 6 + ["0 False"] * 6 + ["-1 False"] * 3


def test_no_rank_starves_behind_others() -> None:
    """An eighth of the batches begins behind the first rank, with each of them by turns."""
    queue = FairQueue()
    for number in range(2000):
        for priority, low in ((1, False), (0, False), (-1, False), (0, True)):
            queue.add(asked("", f"t{number}", 100, priority=priority, low=low))
    leaders = [draft(queue).picks[0].entry.rank for _ in range(6 * LOW_TURN)]
    assert leaders == [*[0] * 7, 1, *[0] * 7, 2, *[0] * 7, 3] * 2
    assert len(set(leaders)) == NUM_RANKS


def test_cost_of_a_row_does_not_grow_with_those_that_wait() -> None:
    """A full batch looks at few of many flows."""
    queue, asked_for = FairQueue(), Counter[str]()
    for number in range(1000):
        queue.add(asked("", f"t{number}", 29))
    queue.next_batch(0.0, SMALL, lambda version: not asked_for.update([version.task]))
    assert len(asked_for) < 40
