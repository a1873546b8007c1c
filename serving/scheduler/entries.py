"""One input on its way through the scheduler."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from adapter_runtime import Arrays, Encoded, Residency, TaskVersion, WorkItem, leaves
from serving.recent import Batch

Key = tuple[str, str]
"""A version's task and digest: tasks with equal files have equal digests, each its own Source."""

NUM_RANKS = 4
"""The callers' three priorities, and behind them what no client waits for."""


def rank_of(priority: int) -> int:
    """How many kinds of entries go before a Call's of a priority."""
    return 1 - max(-1, min(1, priority))


def key_of(version: TaskVersion) -> Key:
    """What the scheduler knows a version by."""
    return version.task, version.digest


@dataclass(slots=True, eq=False)
class Entry:
    """One encoded input and what has become of its rows.

    Mutable: the policy moves `waiting`, the loop fills `outcomes`. It is finished when every row
    has an outcome or `error` is set.

    Args:
        version: who answers; pinned until the last row.
        encoded: the rows.
        queued_s, deadline_s: on the scheduler's clock.
        raw: whether the head also gives raw arrays.
        owner: who asked; the scheduler never looks at it.
        is_low: an example or a copy that no client waits for; runs when there is time.
        caller, priority, weight, request_id: as the Call's.
        mates: one list of entries with equal rows and adapters, which run as one: those of them
            that wait, as the queue keeps it; None where there are no others.
    """

    version: TaskVersion
    encoded: Encoded
    queued_s: float
    deadline_s: float
    raw: bool = False
    owner: object = None
    is_low: bool = False
    caller: str = ""
    priority: int = 0
    weight: float = 1.0
    request_id: str = ""
    mates: list[Entry] | None = None
    adapters: frozenset[str] = field(init=False)
    outcomes: list[Arrays | None] = field(init=False)
    waiting: deque[int] = field(init=False)
    num_answered: int = 0
    num_returns: int = 0
    error: Exception | None = None
    is_cancelled: bool = False
    started_s: float = 0.0
    load_s: float = 0.0
    loaded_s: float = 0.0
    batch_tokens: int = 0
    batch_tasks: int = 0
    batches: tuple[Batch, ...] = ()

    def __post_init__(self) -> None:
        self.adapters = frozenset(leaf.ref for leaf in leaves(self.version.composition))
        self.outcomes = [None] * len(self.encoded.rows)
        self.waiting = deque(range(len(self.outcomes)))

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.error is not None or self.num_answered == len(self.outcomes)

    @property
    def is_taken(self) -> bool:
        """Whether every row is in a batch or has been."""
        return not self.waiting

    @property
    def next_tokens(self) -> int:
        """Tokens of the next row to run."""
        return len(self.encoded.rows[self.waiting[0]].input_ids)

    @property
    def rank(self) -> int:
        """How many kinds of entries go before it: 0 to `NUM_RANKS` - 1."""
        return NUM_RANKS - 1 if self.is_low else rank_of(self.priority)

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the rows that wait for a batch."""
        return self.tokens_of(self.waiting)

    @property
    def num_tokens(self) -> int:
        """Tokens of all its rows."""
        return self.tokens_of(range(len(self.outcomes)))

    def tokens_of(self, rows: Sequence[int]) -> int:
        """Tokens of some rows."""
        return sum(len(self.encoded.rows[row].input_ids) for row in rows)

    def settle(self, row: int, outcome: Arrays | Exception) -> None:
        """Keep one row's outcome; the first error fails the whole input."""
        if not isinstance(outcome, Exception):
            self.outcomes[row] = outcome
            self.num_answered += 1
            self.num_returns = 0
        elif self.error is None:
            self.error = outcome

    def answers(self) -> Sequence[Arrays]:
        """Every row's arrays, in order."""
        return [_present(outcome) for outcome in self.outcomes]


def _present(outcome: Arrays | None) -> Arrays:
    assert outcome is not None, "A finished input lacks a row's outcome. This is a bug."
    return outcome


@dataclass(frozen=True, slots=True)
class Pick:
    """One row of an entry, chosen for the next batch."""

    entry: Entry
    row: int

    def work_item(self) -> WorkItem:
        """The row as the engine takes it."""
        return WorkItem(self.entry.version, self.entry.encoded.rows[self.row], self.entry.raw)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One cold version was brought onto the device, or could not be.

    Args:
        version: which one.
        took_s: seconds from the start of the load to its end.
        came_from: where its weights were before.
        error: why it failed; None where it did not.
    """

    version: TaskVersion
    took_s: float
    came_from: Residency
    error: Exception | None = None
