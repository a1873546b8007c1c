"""Low rows: seldom while others wait, at once when nobody does, and never for nothing."""

from __future__ import annotations

import threading
import time

import pytest

from adapter_runtime import Encoded, Row, RowFailed, SourceError, WorkItem
from serving.errors import DeadlineExceeded
from serving.scheduler.drafts import Budget, Draft
from serving.scheduler.entries import Entry
from serving.scheduler.policy import LOW_TURN, FairQueue
from tests.scheduler.rig import Rig, ScriptedEngine, entry, eventually, version

SMALL = Budget(100, 100, 10)


def fill(*entries: Entry) -> FairQueue:
    """A queue with these entries."""
    queue = FairQueue()
    for each in entries:
        queue.add(each)
    return queue


def draft(queue: FairQueue, budget: Budget = SMALL) -> Draft:
    """The next batch; everything is warm."""
    found = queue.next_batch(0.0, budget, lambda _: True)
    queue.check_integrity()
    return found


def num_low(found: Draft) -> int:
    """Its low rows."""
    return sum(pick.entry.is_low for pick in found.picks)


def items(task: str, *lengths: int) -> list[WorkItem]:
    """Rows of these lengths."""
    return [WorkItem(version(task), Row(tuple(range(length)))) for length in lengths]


def test_low_rows_run_at_once_at_rest() -> None:
    """All that fit, without a waiting window."""
    queue = fill(*(entry("a", 10, is_low=True) for _ in range(10)))
    assert num_low(draft(queue)) == 10


def test_low_rows_fill_what_the_others_leave() -> None:
    """Normal rows come first, in another lane of the same task too."""
    queue = fill(*(entry("a", 10, is_low=True) for _ in range(20)), *(entry("a", 30),) * 1)
    found = draft(queue)
    assert (found.picks[0].entry.is_low, num_low(found)) == (False, 7)


def test_low_rows_have_every_eighth_batch_under_saturation() -> None:
    """However long they are, and whatever the number of low tasks."""
    queue = fill(*(entry("n", 50) for _ in range(100)))
    for number in range(40):
        queue.add(entry(f"low-{number}", 100, is_low=True))
    led = [num_low(draft(queue)) > 0 for _ in range(4 * LOW_TURN)]
    assert led == ([False] * (LOW_TURN - 1) + [True]) * 4


@pytest.mark.parametrize("budget", (SMALL, Budget(1000, 2, 10), Budget(1000, 100, 1)))
def test_normal_row_waits_no_more_than_one_batch_for_low_ones(budget: Budget) -> None:
    """Whenever it comes, whichever limit of the batch is the narrow one."""
    for num_before in range(2 * LOW_TURN):
        queue = fill(*(entry(f"low-{number}", 50, is_low=True) for number in range(200)))
        for _ in range(num_before):
            draft(queue, budget)
        normal = entry("n", 50)
        queue.add(normal)
        draft(queue, budget)
        draft(queue, budget)
        assert normal.is_taken


def test_low_rows_wait_for_their_turn_where_their_weights_are_cold() -> None:
    """The turn is not lost, it is theirs when they can run."""
    queue = fill(*(entry("n", 50) for _ in range(100)), entry("low", 90, is_low=True))
    for _ in range(2 * LOW_TURN):
        queue.next_batch(0.0, SMALL, lambda each: each.task == "n")
    assert num_low(draft(queue)) == 1


def test_low_row_is_loaded_after_those_that_came_little_later() -> None:
    """And before those that came much later, so that it is loaded at all."""
    low, soon, late = entry("low", 1, is_low=True), entry("soon", 1), entry("late", 1)
    low.queued_s, soon.queued_s, late.queued_s = 0.0, 0.5, 2.0
    assert [each.task for each in fill(low, soon, late).versions()] == ["soon", "low", "late"]


def test_run_low_gives_outcomes_in_order(rig: Rig, engine: ScriptedEngine) -> None:
    """For rows of a cold version that nobody serves; the listener hears of nothing but the load."""
    engine.cold = {"new"}
    outcomes = rig.loop.run_low(items("new", 4, 13, 5), 30)
    assert outcomes[0] == {"count": 4}
    assert isinstance(outcomes[1], RowFailed)
    assert outcomes[2] == {"count": 5}
    assert (rig.finished, len(rig.loaded)) == ([], 1)
    assert rig.loop.run_low([], 30) == []


def test_run_low_tells_the_caller_and_no_listener_of_guilt(
    rig: Rig, engine: ScriptedEngine
) -> None:
    """A version that is being checked does not serve yet."""
    engine.poison = {"new": ZeroDivisionError("x")}
    good = entry("good", 3)
    rig.occupy(gate := threading.Event())
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(rig.loop.run_low(items("new", 4), 30)))
    thread.start()
    eventually(lambda: rig.loop.num_rows == 1)
    rig.submit(good)
    gate.set()
    thread.join()
    rig.wait()
    assert isinstance(found[0], RowFailed)
    assert (good.error, rig.guilty) == (None, [])


def test_run_low_gives_the_load_error(rig: Rig, engine: ScriptedEngine) -> None:
    """For each row."""
    engine.cold, engine.load_fails = {"new"}, True
    assert [type(outcome) for outcome in rig.loop.run_low(items("new", 1, 2), 30)] == [
        SourceError,
        SourceError,
    ]


def test_run_low_ends_at_its_deadline(rig: Rig, engine: ScriptedEngine) -> None:
    """Though the only lane is stuck."""
    rig.occupy(gate := threading.Event())
    outcomes = rig.loop.run_low(items("new", 4), 0.05)
    assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded]
    gate.set()
    eventually(lambda: rig.loop.num_rows == 0)


def test_run_low_ends_when_the_loop_stops(engine: ScriptedEngine) -> None:
    """With an error, for rows that wait as for rows that come later."""
    rig = Rig(engine)
    rig.loop.start()
    rig.occupy(gate := threading.Event())
    found: list[object] = []
    waiter = threading.Thread(target=lambda: found.extend(rig.loop.run_low(items("new", 4), 300)))
    waiter.start()
    eventually(lambda: rig.loop.num_rows == 1)
    stopper = threading.Thread(target=rig.loop.stop)
    stopper.start()
    waiter.join()
    gate.set()
    stopper.join()
    assert [type(outcome) for outcome in found] == [RowFailed]
    assert [type(outcome) for outcome in rig.loop.run_low(items("new", 4), 300)] == [RowFailed]
    rig.close()


def test_copies_run_low_and_are_told_like_others(rig: Rig) -> None:
    """Entries that are low by themselves belong to the listener."""
    now_s = time.monotonic()
    copy = Entry(version("a"), Encoded((Row((1, 2)),)), now_s, now_s + 30, is_low=True)
    rig.submit(copy)
    rig.wait()
    assert copy.answers() == [{"count": 2}]
