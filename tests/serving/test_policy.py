"""The batching policy as tables, with a clock that stands still."""

from __future__ import annotations

import pytest

from adapter_runtime import Encoded, HeadSpec, Kind, Leaf, Limits, Row, TaskSpec, TaskVersion
from serving.errors import DeadlineExceeded
from serving.scheduler.drafts import Budget, Draft
from serving.scheduler.entries import Entry
from serving.scheduler.policy import FairQueue
from serving.scheduler.speed import Speed

WIDE = Budget(10_000, 1_000, 100)


def version(task: str) -> TaskVersion:
    """A version with one adapter named after its task."""
    head = HeadSpec("linear", ())
    kind = Kind.TEXT_CLASSIFICATION
    return TaskVersion(task, "1", f"d-{task}", kind, head, Leaf(task), Limits(), TaskSpec(task))


def entry(task: str, *lengths: int, deadline_s: float = 100.0) -> Entry:
    """An entry with rows of these lengths."""
    rows = tuple(Row(tuple(range(length))) for length in lengths)
    return Entry(version(task), Encoded(rows), 0.0, deadline_s)


def draft(queue: FairQueue, budget: Budget = WIDE, cold: str = "", now_s: float = 0.0) -> Draft:
    """The next batch when the tasks in `cold` are cold."""
    found = queue.next_batch(now_s, budget, lambda version: version.task not in cold.split())
    queue.check_integrity()
    return found


def tasks(found: Draft) -> list[str]:
    """Which tasks' rows were picked, in order."""
    return [pick.entry.version.task for pick in found.picks]


def filled(*entries: Entry) -> FairQueue:
    """A queue with these entries."""
    queue = FairQueue()
    for each in entries:
        queue.add(each)
    return queue


def test_everything_runs_when_it_fits() -> None:
    """No waiting window: what is there is taken."""
    queue = filled(entry("a", 5, 5), entry("b", 7))
    assert sorted(tasks(draft(queue))) == ["a", "a", "b"]
    assert (queue.num_rows, queue.num_tokens) == (0, 0)


def test_one_row_always_fits() -> None:
    """A row longer than the budget runs alone rather than never."""
    queue = filled(entry("a", 500), entry("b", 1))
    assert tasks(draft(queue, Budget(10, 10, 10))) == ["a"]
    assert tasks(draft(queue, Budget(10, 10, 10))) == ["b"]


@pytest.mark.parametrize(
    ("budget", "num_picks"),
    ((Budget(20, 100, 9), 2), (Budget(25, 100, 9), 2), (Budget(1000, 3, 9), 3)),
)
def test_budget_bounds_the_batch(budget: Budget, num_picks: int) -> None:
    """Tokens and rows."""
    queue = filled(*(entry("a", 10) for _ in range(9)))
    assert len(draft(queue, budget).picks) == num_picks


def test_distinct_adapters_are_bounded() -> None:
    """Rows of adapters already in the batch still fit; others wait and come first next time."""
    queue = filled(*(entry(task, 5) for task in "abcabc"))
    first = draft(queue, Budget(1000, 100, 2))
    assert sorted(tasks(first)) == ["a", "a", "b", "b"]
    assert tasks(draft(queue, Budget(1000, 100, 2))) == ["c", "c"]


def test_request_spans_batches_in_row_order() -> None:
    """A long request shares the device and loses no row."""
    long = entry("a", *[10] * 5)
    queue = filled(long)
    rows = []
    while found := draft(queue, Budget(20, 100, 9)).picks:
        rows.append([pick.row for pick in found])
    assert rows == [[0, 1], [2, 3], [4]]
    assert long.is_taken


def test_burst_of_one_task_does_not_starve_another() -> None:
    """Behind a burst of 100 rows, one row of another task is in the very next batch."""
    queue = filled(*(entry("burst", 32) for _ in range(100)), entry("quiet", 32))
    assert "quiet" in tasks(draft(queue, Budget(128, 100, 9)))


def test_tokens_are_shared_evenly_whatever_the_row_lengths() -> None:
    """Long rows do not win over short ones."""
    longs = [entry("long", 200) for _ in range(60)]
    shorts = [entry("short", 10) for _ in range(1200)]
    queue, taken = filled(*longs, *shorts), {"long": 0, "short": 0}
    for _ in range(20):
        for pick in draft(queue, Budget(600, 500, 9)).picks:
            taken[pick.entry.version.task] += len(pick.entry.encoded.rows[pick.row].input_ids)
    assert taken["long"] == pytest.approx(taken["short"], rel=0.15)


def test_interrupted_turn_goes_on_first() -> None:
    """Tasks take turns over batches, too."""
    queue = filled(*(entry(task, 64) for task in "abcd" for _ in range(2)))
    served = [tasks(draft(queue, Budget(128, 100, 9))) for _ in range(4)]
    assert served == [["a", "b"], ["c", "d"], ["a", "b"], ["c", "d"]]


def test_cold_task_delays_only_itself() -> None:
    """Its rows stay; it is named once, so that it can be loaded."""
    queue = filled(entry("cold", 5), entry("warm", 5), entry("cold", 5))
    found = draft(queue, cold="cold")
    assert tasks(found) == ["warm"]
    assert [version.task for version in queue.versions()] == ["cold"]
    assert tasks(draft(queue)) == ["cold", "cold"]


def test_late_and_cancelled_entries_are_dropped() -> None:
    """Late ones carry their error, neither runs, also while cold."""
    late, gone, good = entry("a", 5, deadline_s=1.0), entry("a", 5), entry("a", 5)
    gone.is_cancelled = True
    found = draft(filled(late, gone, good), now_s=1.0)
    assert found.dropped == [late, gone]
    assert isinstance(late.error, DeadlineExceeded)
    assert [pick.entry for pick in found.picks] == [good]


def test_version_that_failed_to_load_leaves_the_queue() -> None:
    """Only its own entries go."""
    bad, good = entry("bad", 5), entry("good", 5)
    queue = filled(bad, good)
    assert queue.remove(lambda entry: entry.version.digest == "d-bad") == [bad]
    queue.check_integrity()
    assert tasks(draft(queue)) == ["good"]


def test_entry_keeps_its_first_error() -> None:
    """One failed row fails the input, later outcomes change nothing."""
    item = entry("a", 1, 1, 1)
    item.settle(0, {})
    item.settle(1, ValueError("first"))
    item.settle(2, ValueError("second"))
    assert item.is_finished
    assert str(item.error) == "first"


@pytest.mark.parametrize(("fixed_s", "token_s", "expected"), ((0.0, 1e-4, 1000), (0.02, 1e-4, 800)))
def test_speed_learns_fixed_and_token_cost(fixed_s: float, token_s: float, expected: int) -> None:
    """The budget fills the allowed time, whatever mix of sizes it was learnt from."""
    speed = Speed()
    for tokens in (100, 400, 800, 200, 1000, 600) * 5:
        speed.observe(tokens, fixed_s + token_s * tokens)
    assert speed.budget_tokens(0.1, 100_000) == pytest.approx(expected, rel=0.02)
    assert speed.predict_s(500) == pytest.approx(fixed_s + 500 * token_s, rel=0.02)


def test_tiny_slow_batches_do_not_shrink_the_budget_for_good() -> None:
    """Under load the budget recovers from what single short rows looked like."""
    speed = Speed()
    for _ in range(50):
        speed.observe(8, 0.01 + 8e-5)
    for _ in range(12):
        tokens = speed.budget_tokens(0.1, 16384)
        speed.observe(tokens, 0.01 + 1e-4 * tokens)
    assert speed.budget_tokens(0.1, 16384) > 700


def test_fixed_cost_above_the_limit_still_batches() -> None:
    """A device whose forward alone exceeds the limit gets batches that are worth it."""
    speed = Speed()
    for tokens in (100, 200, 300) * 9:
        speed.observe(tokens, 0.3 + 1e-3 * tokens)
    assert speed.budget_tokens(0.1, 16384) >= 250


def test_high_fixed_cost_does_not_trap_throughput_in_small_batches() -> None:
    """From full batches that all look alike, the budget finds its way to worthwhile ones."""
    speed = Speed()
    for _ in range(30):
        speed.observe(45, 0.09 + 3e-4 * 45)
    for _ in range(60):
        tokens = speed.budget_tokens(0.1, 16384)
        speed.observe(tokens, 0.09 + 3e-4 * tokens)
    assert speed.budget_tokens(0.1, 16384) > 400
