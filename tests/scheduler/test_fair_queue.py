"""Whatever comes, goes, comes back and grows cold: no row is lost, none runs twice at once."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.scheduler.drafts import Budget
from serving.scheduler.entries import Entry, Pick, key_of
from serving.scheduler.policy import LOW_TURN, FairQueue
from tests.scheduler.rig import entry

TASKS = st.sampled_from("abcde")
LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=5)
BUDGETS = st.builds(Budget, st.integers(1, 400), st.integers(1, 20), st.integers(1, 5))


class QueueMachine(RuleBasedStateMachine):
    """A queue beside the simplest books: what waits, what runs, what has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.entries: list[Entry] = []
        self.running: list[Pick] = []
        self.cold: set[str] = set()
        self.done: Counter[tuple[Entry, int]] = Counter()
        self.dropped: list[Entry] = []

    @rule(task=TASKS, lengths=LENGTHS, is_low=st.booleans())
    def add(self, task: str, lengths: list[int], is_low: bool) -> None:
        """A new input."""
        self.entries.append(entry(task, *lengths, is_low=is_low, within_s=1e9))
        self.queue.add(self.entries[-1])

    @rule(tasks=st.sets(TASKS, min_size=2), lengths=LENGTHS)
    def add_mates(self, tasks: set[str], lengths: list[int]) -> None:
        """One input for several tasks, which run as one where they can."""
        mates: list[Entry] = []
        for task in sorted(tasks):
            each = entry(task, *lengths, within_s=1e9)
            each.mates = mates
            self.entries.append(each)
            self.queue.add(each)

    @rule(tasks=st.sets(TASKS))
    def grow_cold(self, tasks: set[str]) -> None:
        """Other weights are at hand now."""
        self.cold = tasks

    @rule(budget=BUDGETS)
    def take(self, budget: Budget) -> None:
        """A batch, within its limits and without cold rows."""
        draft = self.queue.next_batch(0.0, budget, lambda each: each.task not in self.cold)
        self.dropped += draft.dropped
        self.running += draft.picks
        assert not {pick.entry.version.task for pick in draft.picks} & self.cold
        assert len(draft.picks) <= budget.rows
        computed = {(_place(pick), pick.row) for pick in draft.picks}
        assert draft.tokens <= budget.tokens or len(computed) == 1
        assert len(draft.adapters) <= budget.adapters

    @precondition(lambda self: self.running)
    @rule(number=st.integers(1, 20), comes_back=st.booleans())
    def end(self, number: int, comes_back: bool) -> None:
        """Rows have run, or found no room."""
        ended, self.running = self.running[:number], self.running[number:]
        for pick in ended:
            if comes_back and not pick.entry.is_finished:
                self.queue.put_back(pick.entry, (pick.row,))
            else:
                self.done[pick.entry, pick.row] += 1
                pick.entry.settle(pick.row, {})

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Nobody waits for an input any more."""
        data.draw(st.sampled_from(self.entries)).is_cancelled = True

    @rule(task=TASKS)
    def fail(self, task: str) -> None:
        """A version could not be loaded."""
        for each in self.queue.remove(lambda each: each.version.task == task):
            each.error = ValueError(task)

    @invariant()
    def counts_are_right(self) -> None:
        """Of rows, tokens and versions."""
        self.queue.check_integrity()
        waiting = {key_of(each.version) for each in self.queue}
        assert {key_of(each) for each in self.queue.versions()} == waiting
        assert all(self.queue.is_waiting(key) for key in waiting)

    @invariant()
    def each_row_is_in_one_place(self) -> None:
        """It waits, runs, has run, or its input has ended."""
        running = Counter((pick.entry, pick.row) for pick in self.running)
        waiting = Counter((each, row) for each in self.queue for row in each.waiting)
        places = running + waiting + self.done
        assert not places or max(places.values()) == 1
        for each in self.entries:
            rows = sum(places[each, row] for row in range(len(each.outcomes)))
            assert rows == len(each.outcomes) or each.error is not None
        assert len(set(self.dropped)) == len(self.dropped)

    def teardown(self) -> None:
        """Everything that waits gets its turn, and no lane stands still for long."""
        budget = Budget(50, 3, 1)
        while self.queue.num_rows:
            before = {key: _rows(self.queue, key) for key in _keys(self.queue)}
            for _ in range(LOW_TURN * 2 * (len(before) + 1) * 5):
                self.queue.next_batch(0.0, budget, lambda each: True)
            assert all(_rows(self.queue, key) < rows for key, rows in before.items())


def _place(pick: Pick) -> int:
    """Equal for rows that run as one."""
    return id(pick.entry) if pick.entry.mates is None else id(pick.entry.mates)


Key = tuple[str, bool]


def _keys(queue: FairQueue) -> set[Key]:
    return {(each.version.task, each.is_low) for each in queue}


def _rows(queue: FairQueue, key: Key) -> int:
    mine = (each for each in queue if (each.version.task, each.is_low) == key)
    return sum(len(each.waiting) for each in mine)


TestFairQueue = QueueMachine.TestCase
TestFairQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_mates_run_in_one_batch_past_its_tokens() -> None:
    """They are computed as one, so that only the first counts; others wait as always."""
    queue = FairQueue()
    mates: list[Entry] = []
    for task in "abc":
        each = entry(task, 30, 5)
        each.mates = mates
        queue.add(each)
    queue.add(entry("d", 30))
    draft = queue.next_batch(0.0, Budget(30, 10, 9), lambda _: True)
    assert [(pick.entry.version.task, pick.row) for pick in draft.picks] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
    ]
    assert draft.tokens == 30
    queue.check_integrity()
    wider = queue.next_batch(0.0, Budget(65, 10, 9), lambda _: True)
    assert sorted(pick.entry.version.task for pick in wider.picks) == list("abcd")
    assert wider.tokens == 35
    assert mates == []  # nothing keeps those that have run
