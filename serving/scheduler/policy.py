"""Which rows run next: fair across tasks, within a budget. Pure: no clock and no threads here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from adapter_runtime import TaskVersion
from serving.errors import ClientGone, DeadlineExceeded
from serving.scheduler.drafts import Budget, Draft
from serving.scheduler.entries import NUM_RANKS, Entry, Key, key_of
from serving.scheduler.lanes import Lane, Lanes

IsWarm = Callable[[TaskVersion], bool]

LOW_TURN = 8
"""Each rank fills what those before it leave; of batches that leave some, an eighth is theirs."""

_MOST_MISFITS = 16
"""Rows that are too long for what is left of a batch before it counts as full."""

LOW_DELAY_S = 1.0
"""A low row that waits for its weights comes after all others that came up to so much later."""


class FairQueue:
    """Waiting entries; strict among ranks, but each has its turn; fair in tokens within a rank.

    Callers share by their weights, and each one's tasks share evenly what is the caller's. Who has
    had most goes last, also after coming back; who waits for weights gathers no claim meanwhile.
    """

    def __init__(self) -> None:
        self._ranks = tuple(Lanes(_task) for _ in range(NUM_RANKS))
        self._entries: dict[Entry, None] = {}
        self._num_entries: Counter[Key] = Counter()
        self._num_passed = 0
        self._num_turns = 0
        self._last_turns = [0] * NUM_RANKS
        self.num_rows = 0
        self.num_tokens = 0

    def add(self, entry: Entry) -> None:
        """Queue an entry at the end of its lane."""
        assert not entry.is_taken, "An entry without waiting rows was queued. This is a bug."
        self._ranks[entry.rank].add(entry)
        self._enter(entry)
        self.num_rows += len(entry.waiting)
        self.num_tokens += entry.waiting_tokens

    def put_back(self, entry: Entry, rows: Sequence[int]) -> None:
        """Let rows that were taken wait again, before all others of their lane."""
        assert not entry.is_finished, "A finished entry was put back. This is a bug."
        tokens = entry.tokens_of(rows)
        self._ranks[entry.rank].put_back(entry, tokens, has_left=entry.is_taken)
        if entry.is_taken:
            self._enter(entry)
        entry.waiting.extendleft(sorted(rows, reverse=True))
        self.num_rows += len(rows)
        self.num_tokens += tokens

    def remove(self, is_out: Callable[[Entry], bool]) -> list[Entry]:
        """Take out entries, such as those of a version that failed to load."""
        return self._take_out([entry for entry in self._entries if is_out(entry)])

    def _take_out(self, out: list[Entry]) -> list[Entry]:
        for entry in out:
            lanes = self._ranks[entry.rank]
            lane = lanes.lane_of(entry)
            lane.drop(entry)
            if not lane.entries:
                lanes.remove(lane)
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
        first = next((rank for rank, lanes in enumerate(self._ranks) if lanes), NUM_RANKS)
        behind = range(first + 1, NUM_RANKS)
        if self._num_passed >= LOW_TURN - 1:
            self._give_turn(draft, budget, warmth, behind)
        for lanes in self._ranks:
            self._fill(draft, budget, warmth, lanes)
        self._take_mates(draft, budget, warmth)
        if draft.picks:
            is_passed = any(self._ranks[rank] for rank in behind)
            self._num_passed = self._num_passed + 1 if is_passed else 0
        return draft

    def _give_turn(
        self, draft: Draft, budget: Budget, is_warm: IsWarm, behind: Iterable[int]
    ) -> None:
        """Let one of the ranks behind the first begin: who can, and has not for longest."""
        for rank in sorted(behind, key=self._last_turns.__getitem__):
            self._fill(draft, budget, is_warm, self._ranks[rank])
            if draft.picks:
                self._num_turns += 1
                self._last_turns[rank] = self._num_turns
                self._num_passed = -1
                return

    def _fill(self, draft: Draft, budget: Budget, is_warm: IsWarm, lanes: Lanes[Entry]) -> None:
        num_misfits = 0
        while not draft.is_full(budget) and (lane := lanes.first()) is not None:
            entry = _first_warm(lane, is_warm)
            if entry is None or not draft.has_room(entry, budget):
                lanes.pass_over(lane, is_able=entry is not None)
                num_misfits += entry is not None and draft.is_too_long(entry, budget)
                if num_misfits > _MOST_MISFITS:
                    break
                continue
            tokens = draft.take(entry)
            self.num_rows -= 1
            self.num_tokens -= tokens
            if entry.is_taken:
                lane.drop(entry)
                self._leave(entry)
            lanes.serve(lane, tokens)
        lanes.resume()

    def _take_mates(self, draft: Draft, budget: Budget, is_warm: IsWarm) -> None:
        """Take along what runs as one with a row of the batch; it costs no turn, for it is free."""
        for pick in tuple(draft.picks):
            for mate in tuple(pick.entry.mates or ()):
                is_next = mate.waiting[0] == pick.row and is_warm(mate.version)
                if not is_next or len(draft.picks) >= budget.rows:
                    continue
                self.num_tokens -= draft.take_along(mate)
                self.num_rows -= 1
                if mate.is_taken:
                    self._take_out([mate])

    def _drop(self, now_s: float) -> list[Entry]:
        """Take out what nobody waits for; those whose end is not known yet, with their error."""
        dropped = []
        over = [
            entry
            for entry in self._entries
            if entry.is_cancelled or entry.error is not None or now_s >= entry.deadline_s
        ]
        for entry in self._take_out(over):
            if entry.error is None:
                entry.error = (
                    ClientGone("Nobody waits for the answer any more.")
                    if entry.is_cancelled
                    else _late()
                )
                dropped.append(entry)
        return dropped

    def _enter(self, entry: Entry) -> None:
        self._entries[entry] = None
        if entry.mates is not None:
            entry.mates.append(entry)
        self._num_entries[key_of(entry.version)] += 1

    def _leave(self, entry: Entry) -> None:
        del self._entries[entry]
        if entry.mates is not None:
            entry.mates.remove(entry)
        key = key_of(entry.version)
        self._num_entries[key] -= 1
        if not self._num_entries[key]:
            del self._num_entries[key]

    def __iter__(self) -> Iterator[Entry]:
        """All waiting entries."""
        return iter(self._entries)

    def check_integrity(self) -> None:
        """Assert that the counts match the entries and that each waits once, in its own lane."""
        for rank, lanes in enumerate(self._ranks):
            lanes.check_integrity()
            assert all(entry.rank == rank for lane in lanes for entry in lane.entries), (
                "An entry waits in a foreign rank. This is a bug."
            )
        entries = [entry for lanes in self._ranks for lane in lanes for entry in lane.entries]
        assert Counter(entries) == Counter(iter(self)), (
            "An entry waits twice, or in no lane. This is a bug."
        )
        rows = sum(len(entry.waiting) for entry in entries)
        tokens = sum(entry.waiting_tokens for entry in entries)
        assert (rows, tokens) == (self.num_rows, self.num_tokens), (
            "Rows are miscounted. This is a bug."
        )
        assert all(entry.waiting for entry in entries), "An entry waits for nothing. This is a bug."
        assert self._num_entries == Counter(key_of(entry.version) for entry in entries), (
            "Versions are miscounted. This is a bug."
        )


def _task(entry: Entry) -> str:
    return entry.version.task


def _first_warm(lane: Lane[Entry], is_warm: IsWarm) -> Entry | None:
    """The oldest entry of a lane whose version is at hand."""
    return next((entry for entry in lane.entries if is_warm(entry.version)), None)


def _once(is_warm: IsWarm) -> IsWarm:
    known: dict[Key, bool] = {}

    def ask(version: TaskVersion) -> bool:
        key = key_of(version)
        if key not in known:
            known[key] = is_warm(version)
        return known[key]

    return ask


def _age(entry: Entry) -> float:
    return entry.queued_s + (LOW_DELAY_S if entry.is_low else 0.0)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The deadline passed before the answer was ready; send x-deadline-ms with more time."
    )
