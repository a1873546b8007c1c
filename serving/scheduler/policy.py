"""Which rows run next: fair across tasks, within a budget. Pure: no clock and no threads here."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from adapter_runtime import TaskVersion
from serving.errors import DeadlineExceeded
from serving.scheduler.entries import Entry, Pick

QUANTUM_TOKENS = 64
"""What each task may add per round; small, so that one batch serves many tasks."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold. A single row always fits, however long."""

    tokens: int
    rows: int
    adapters: int


@dataclass(slots=True)
class Draft:
    """The next batch, and what was found on the way to it.

    Args:
        picks: rows to run, possibly none.
        dropped: entries that are late or cancelled; late ones carry their error.
        cold: versions that wait for their weights, each once.
    """

    picks: list[Pick] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    cold: dict[str, TaskVersion] = field(default_factory=dict)
    tokens: int = 0
    adapters: set[str] = field(default_factory=set)

    def has_room(self, entry: Entry, budget: Budget) -> bool:
        """Whether the entry's next row fits."""
        if not self.picks:
            return True
        return (
            len(self.picks) < budget.rows
            and self.tokens + entry.next_tokens <= budget.tokens
            and len(self.adapters | entry.adapters) <= budget.adapters
        )

    def is_full(self, budget: Budget) -> bool:
        """Whether no row at all fits any more."""
        return len(self.picks) >= budget.rows or self.tokens >= budget.tokens

    def take(self, entry: Entry) -> int:
        """Add the entry's next row; returns its tokens."""
        tokens = entry.next_tokens
        self.picks.append(Pick(entry, entry.next_row))
        self.adapters |= entry.adapters
        self.tokens += tokens
        entry.next_row += 1
        return tokens


@dataclass(slots=True)
class _Lane:
    """One task's waiting entries, oldest first, and the tokens that it may still add this turn."""

    entries: deque[Entry] = field(default_factory=deque)
    credit: int = 0

    def first_warm(self, is_warm: Callable[[TaskVersion], bool]) -> Entry | None:
        """The oldest entry whose version is at hand."""
        return next((entry for entry in self.entries if is_warm(entry.version)), None)


class FairQueue:
    """Entries per task, served by deficit round robin in tokens.

    A task whose turn a full batch cut short goes on first in the next batch; a task that waits for
    its weights keeps its place and gathers no credit.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self.num_rows = 0
        self.num_tokens = 0

    def add(self, entry: Entry) -> None:
        """Queue an entry at the end of its task's lane."""
        assert not entry.is_taken, "An entry without waiting rows was queued. This is a bug."
        self._lanes.setdefault(entry.version.task, _Lane()).entries.append(entry)
        self._count(entry, 1)

    def remove_version(self, digest: str) -> list[Entry]:
        """Take out every entry of a version, such as one that failed to load."""
        return self._remove(lambda entry: entry.version.digest == digest)

    def next_batch(
        self, now_s: float, budget: Budget, is_warm: Callable[[TaskVersion], bool]
    ) -> Draft:
        """Take out the rows that run next.

        Args:
            now_s: the time on the entries' clock.
            budget: limits of this batch.
            is_warm: whether a version's weights are at hand; asked once per version.
        """
        draft = Draft(dropped=self._remove(lambda entry: _is_dropped(entry, now_s)))
        warmth: dict[str, bool] = {}

        def check(version: TaskVersion) -> bool:
            if version.digest not in warmth:
                warmth[version.digest] = is_warm(version)
                if not warmth[version.digest]:
                    draft.cold[version.digest] = version
            return warmth[version.digest]

        turns = list(self._lanes)
        while turns and not draft.is_full(budget):
            turns = [task for task in turns if self._turn(task, draft, budget, check)]
        return draft

    def _turn(
        self, task: str, draft: Draft, budget: Budget, is_warm: Callable[[TaskVersion], bool]
    ) -> bool:
        """Let one task add rows; whether another turn in this batch may add more."""
        if draft.is_full(budget):
            return False
        lane = self._lanes[task]
        if lane.credit <= 0 and lane.first_warm(is_warm) is not None:
            lane.credit += QUANTUM_TOKENS
        while (entry := lane.first_warm(is_warm)) is not None:
            if lane.credit <= 0:
                self._lanes.move_to_end(task)
                return True
            if not draft.has_room(entry, budget):
                return False
            tokens = draft.take(entry)
            lane.credit -= tokens
            self.num_rows -= 1
            self.num_tokens -= tokens
            if entry.is_taken:
                lane.entries.remove(entry)
        if not lane.entries:
            del self._lanes[task]
        return False

    def _remove(self, is_out: Callable[[Entry], bool]) -> list[Entry]:
        out = [entry for entry in self if is_out(entry)]
        for entry in out:
            lane = self._lanes[entry.version.task]
            lane.entries.remove(entry)
            if not lane.entries:
                del self._lanes[entry.version.task]
            self._count(entry, -1)
        return out

    def __iter__(self) -> Iterator[Entry]:
        """All waiting entries, lane by lane."""
        for lane in self._lanes.values():
            yield from lane.entries

    def _count(self, entry: Entry, sign: int) -> None:
        self.num_rows += sign * (len(entry.outcomes) - entry.next_row)
        self.num_tokens += sign * entry.waiting_tokens

    def check_integrity(self) -> None:
        """Assert that the counts match the entries and that no lane is empty."""
        assert all(lane.entries for lane in self._lanes.values()), (
            "An empty lane stayed. This is a bug."
        )
        rows = sum(len(entry.outcomes) - entry.next_row for entry in self)
        tokens = sum(entry.waiting_tokens for entry in self)
        assert (rows, tokens) == (self.num_rows, self.num_tokens), (
            "Rows are miscounted. This is a bug."
        )


def _is_dropped(entry: Entry, now_s: float) -> bool:
    if entry.is_cancelled or entry.error is not None:
        return True
    if now_s >= entry.deadline_s:
        entry.error = DeadlineExceeded(
            "The deadline passed before the answer was ready; send x-deadline-ms with more time."
        )
        return True
    return False
