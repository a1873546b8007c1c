"""Which rows run next: fair across tasks, within a budget. Pure: no clock and no threads here."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from adapter_runtime import TaskVersion
from serving.errors import ClientGone, DeadlineExceeded
from serving.scheduler.drafts import Budget, Draft
from serving.scheduler.entries import Entry, Key, key_of

QUANTUM_TOKENS = 64
"""What each task may add per round; small, so that one batch serves many tasks."""

LOW_TURN = 8
"""Low rows fill what the others leave; of the batches that leave some, every eighth is theirs."""

LOW_DELAY_S = 1.0
"""A low row that waits for its weights comes after all others that came up to so much later."""

IsWarm = Callable[[TaskVersion], bool]
_Place = tuple[str, bool]


@dataclass(slots=True)
class _Lane:
    """One task's waiting entries, oldest first, and the tokens that it may still add this turn."""

    entries: deque[Entry] = field(default_factory=deque)
    credit: int = 0

    def first_warm(self, is_warm: IsWarm) -> Entry | None:
        """The oldest entry whose version is at hand."""
        return next((entry for entry in self.entries if is_warm(entry.version)), None)


class FairQueue:
    """Entries per task, served by deficit round robin in tokens.

    A task whose turn a full batch cut short goes on first in the next batch; a task that waits for
    its weights keeps its place and gathers no credit. A task's low entries have a lane beside its
    others.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[_Place, _Lane] = OrderedDict()
        self._num_entries: Counter[Key] = Counter()
        self._num_passed = 0
        self.num_rows = 0
        self.num_tokens = 0

    def add(self, entry: Entry) -> None:
        """Queue an entry at the end of its lane."""
        assert not entry.is_taken, "An entry without waiting rows was queued. This is a bug."
        self._lanes.setdefault(_place(entry), _Lane()).entries.append(entry)
        self._enter(entry)

    def put_back(self, entry: Entry, rows: Sequence[int]) -> None:
        """Let rows that were taken wait again, before all others of their lane."""
        assert not entry.is_finished, "A finished entry was put back. This is a bug."
        key, tokens = _place(entry), entry.tokens_of(rows)
        if key not in self._lanes:
            self._lanes[key] = _Lane()
            self._lanes.move_to_end(key, last=False)
        lane = self._lanes[key]
        if entry.is_taken:
            lane.entries.appendleft(entry)
            self._num_entries[key_of(entry.version)] += 1
        entry.waiting.extendleft(sorted(rows, reverse=True))
        lane.credit = min(lane.credit + tokens, QUANTUM_TOKENS)
        self.num_rows += len(rows)
        self.num_tokens += tokens

    def remove(self, is_out: Callable[[Entry], bool]) -> list[Entry]:
        """Take out entries, such as those of a version that failed to load."""
        out = [entry for entry in self if is_out(entry)]
        for entry in out:
            lane = self._lanes[_place(entry)]
            lane.entries.remove(entry)
            if not lane.entries:
                del self._lanes[_place(entry)]
            self._leave(entry)
            self.num_rows -= len(entry.waiting)
            self.num_tokens -= entry.waiting_tokens
        return out

    def is_waiting(self, key: Key) -> bool:
        """Whether rows of a version wait."""
        return key in self._num_entries

    def versions(self) -> list[TaskVersion]:
        """The versions that rows wait for, the longest waiter first."""
        oldest: dict[Key, Entry] = {}
        for entry in self:
            key = key_of(entry.version)
            if _age(entry) < _age(oldest.setdefault(key, entry)):
                oldest[key] = entry
        return [entry.version for entry in sorted(oldest.values(), key=_age)]

    def next_batch(self, now_s: float, budget: Budget, is_warm: IsWarm) -> Draft:
        """Take out the rows that run next.

        Args:
            now_s: the time on the entries' clock.
            budget: limits of this batch.
            is_warm: whether a version's weights are at hand; asked once per version.
        """
        draft = Draft(dropped=self._drop(now_s))
        warmth = _once(is_warm)
        low_leads = self._num_passed >= LOW_TURN - 1
        self._fill(draft, budget, warmth, is_low=low_leads)
        if low_leads and draft.picks:
            self._num_passed = -1
        self._fill(draft, budget, warmth, is_low=not low_leads)
        if draft.picks:
            low_wait = any(is_low for _, is_low in self._lanes)
            self._num_passed = self._num_passed + 1 if low_wait else 0
        return draft

    def _fill(self, draft: Draft, budget: Budget, is_warm: IsWarm, *, is_low: bool) -> None:
        turns = [key for key in self._lanes if key[1] == is_low]
        while turns and not draft.is_full(budget):
            turns = [key for key in turns if self._turn(key, draft, budget, is_warm)]

    def _turn(self, key: _Place, draft: Draft, budget: Budget, is_warm: IsWarm) -> bool:
        """Let one task add rows; whether another turn in this batch may add more."""
        if draft.is_full(budget):
            return False
        lane = self._lanes[key]
        if lane.credit <= 0 and lane.first_warm(is_warm) is not None:
            lane.credit += QUANTUM_TOKENS
        while (entry := lane.first_warm(is_warm)) is not None:
            if lane.credit <= 0:
                self._lanes.move_to_end(key)
                return True
            if not draft.has_room(entry, budget):
                return False
            tokens = draft.take(entry)
            lane.credit -= tokens
            self.num_rows -= 1
            self.num_tokens -= tokens
            if entry.is_taken:
                lane.entries.remove(entry)
                self._leave(entry)
        if not lane.entries:
            del self._lanes[key]
        return False

    def _drop(self, now_s: float) -> list[Entry]:
        """Take out what nobody waits for; those whose end is not known yet, with their error."""
        dropped = []
        for entry in self.remove(lambda entry: _is_over(entry, now_s)):
            if entry.error is None:
                entry.error = (
                    ClientGone("Nobody waits for the answer any more.")
                    if entry.is_cancelled
                    else _late()
                )
                dropped.append(entry)
        return dropped

    def _enter(self, entry: Entry) -> None:
        self._num_entries[key_of(entry.version)] += 1
        self.num_rows += len(entry.waiting)
        self.num_tokens += entry.waiting_tokens

    def _leave(self, entry: Entry) -> None:
        key = key_of(entry.version)
        self._num_entries[key] -= 1
        if not self._num_entries[key]:
            del self._num_entries[key]

    def __iter__(self) -> Iterator[Entry]:
        """All waiting entries, lane by lane."""
        for lane in self._lanes.values():
            yield from lane.entries

    def check_integrity(self) -> None:
        """Assert that the counts match the entries and that each waits once, in its own lane."""
        assert all(
            lane.entries and all(_place(entry) == key for entry in lane.entries)
            for key, lane in self._lanes.items()
        ), "An empty or foreign lane stayed. This is a bug."
        entries = list(self)
        rows = sum(len(entry.waiting) for entry in entries)
        tokens = sum(entry.waiting_tokens for entry in entries)
        assert (rows, tokens) == (self.num_rows, self.num_tokens), (
            "Rows are miscounted. This is a bug."
        )
        assert len(set(entries)) == len(entries), "An entry waits twice. This is a bug."
        assert all(entry.waiting for entry in entries), "An entry waits for nothing. This is a bug."
        assert self._num_entries == Counter(key_of(entry.version) for entry in entries), (
            "Versions are miscounted. This is a bug."
        )


def _once(is_warm: IsWarm) -> IsWarm:
    known: dict[Key, bool] = {}

    def ask(version: TaskVersion) -> bool:
        key = key_of(version)
        if key not in known:
            known[key] = is_warm(version)
        return known[key]

    return ask


def _place(entry: Entry) -> _Place:
    return entry.version.task, entry.is_low


def _age(entry: Entry) -> float:
    return entry.queued_s + (LOW_DELAY_S if entry.is_low else 0.0)


def _is_over(entry: Entry, now_s: float) -> bool:
    return entry.is_cancelled or entry.error is not None or now_s >= entry.deadline_s


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The deadline passed before the answer was ready; send x-deadline-ms with more time."
    )
