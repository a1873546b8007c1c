"""A batch loop over a scripted engine, and everything that was heard of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace

from adapter_runtime import (
    Encoded,
    HeadSpec,
    Kind,
    Leaf,
    Limits,
    OutOfMemory,
    Row,
    RunResult,
    RunStats,
    TaskSpec,
    TaskVersion,
    VersionFailed,
    WorkItem,
)
from serving.scheduler.entries import Entry, Loaded
from serving.scheduler.loop import BatchLimits, BatchLoop
from serving.scheduler.running import Listener
from tests.serving.fake_engine import FakeEngine

PATIENCE_S = 30.0
"""Long enough for any machine; only a failing test waits for it."""


def version(task: str, digest: str = "") -> TaskVersion:
    """A version with one adapter named after its task."""
    head, kind = HeadSpec("linear", ()), Kind.TEXT_CLASSIFICATION
    digest = digest or f"d-{task}"
    return TaskVersion(task, "1", digest, kind, head, Leaf(task), Limits(), TaskSpec(task))


def entry(task: str, *lengths: int, is_low: bool = False, within_s: float = PATIENCE_S) -> Entry:
    """An entry queued now, with rows of these lengths."""
    rows, now_s = tuple(Row(tuple(range(length))) for length in lengths), time.monotonic()
    return Entry(version(task), Encoded(rows), now_s, now_s + within_s, is_low=is_low)


def eventually(is_true: Callable[[], object]) -> None:
    """Wait until something is so."""
    until_s = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < until_s, "It never came to be."
        time.sleep(0.001)


@dataclass
class ScriptedEngine(FakeEngine):
    """Raises on command, and lets a test stop loads and batches.

    Args:
        poison: tasks that make a batch raise as a whole, with what it raises.
        unsound: tasks whose rows are VersionFailed.
        is_poison: whether one row makes a batch raise.
        load_gates: loads of these tasks wait.
        fetch_gates: files of these tasks wait; `fetching` are the tasks that do so.
        no_memory: tasks whose weights find no memory.
        no_room: how often rows of a task find no room though it is on the device.
    """

    poison: dict[str, Exception] = field(default_factory=dict)
    unsound: set[str] = field(default_factory=set)
    is_poison: Callable[[WorkItem], bool] = lambda item: False
    load_gates: dict[str, threading.Event] = field(default_factory=dict)
    fetch_gates: dict[str, threading.Event] = field(default_factory=dict)
    fetching: set[str] = field(default_factory=set)
    no_memory: set[str] = field(default_factory=set)
    no_room: dict[str, int] = field(default_factory=dict)
    loading: set[str] = field(default_factory=set)
    most_loading: int = 0
    most_running: int = 0
    num_running: int = 0
    held_in_batches: list[int] = field(default_factory=list)

    def load(self, version: TaskVersion) -> None:
        """Waits where it is told to."""
        if (gate := self.fetch_gates.get(version.task)) is not None:
            self.fetching.add(version.task)
            assert gate.wait(PATIENCE_S)
        super().load(version)

    def hold(self, version: TaskVersion) -> None:
        """Remembers how many loads went side by side, and in which order they came."""
        with self.placing:
            self.calls.append(("hold", version.task))
            self.loading.add(version.task)
            self.most_loading = max(self.most_loading, len(self.loading))
        try:
            if version.task in self.load_gates:
                assert self.load_gates[version.task].wait(PATIENCE_S)
            if version.task in self.no_memory:
                raise OutOfMemory("full")
            super().hold(version)
        finally:
            with self.placing:
                self.loading.discard(version.task)

    def forward(self, items: Sequence[WorkItem], placed: Set[str]) -> RunResult:
        """As scripted."""
        with self.placing:
            self.num_running += 1
            self.held_in_batches.append(self.holds.total())
            self.most_running = max(self.most_running, self.num_running)
        try:
            return self._scripted(items, placed)
        finally:
            with self.placing:
                self.num_running -= 1

    def _scripted(self, items: Sequence[WorkItem], placed: Set[str]) -> RunResult:
        for task in {item.version.task for item in items}:
            if self.no_room.get(task, 0):
                self.no_room[task] -= 1
                placed = placed - {f"d-{task}"}
        result = super().forward(items, placed)
        for item in items:
            if item.version.task in self.poison:
                raise self.poison[item.version.task]
            if self.is_poison(item):
                raise ZeroDivisionError("poison")
        outcomes = tuple(
            VersionFailed("not finite") if item.version.task in self.unsound else outcome
            for item, outcome in zip(items, result.outcomes, strict=True)
        )
        return replace(result, outcomes=outcomes)


class Rig:
    """Owns a loop, and checks at the end that nothing is lost, told twice or still held."""

    def __init__(self, engine: ScriptedEngine, load_threads: int = 4, **limits: int) -> None:
        self.engine = engine
        self.submitted: list[Entry] = []
        self.finished: list[Entry] = []
        self.guilty: list[tuple[str, Exception]] = []
        self.loaded: list[Loaded] = []
        self.ran: list[RunStats] = []
        listener = Listener(self.finished.extend, self.ran.append, self.loaded.append, self._blame)
        self.loop = BatchLoop(engine, BatchLimits(**limits), time.monotonic, listener, load_threads)

    def _blame(self, version: TaskVersion, error: Exception) -> None:
        self.guilty.append((version.task, error))

    def submit(self, *entries: Entry) -> None:
        """Queue entries, all at once."""
        self.submitted += entries
        self.loop.submit(entries)

    def wait(self, *entries: Entry) -> None:
        """Until these entries (all by default) were told."""
        eventually(lambda: set(entries or self.submitted) <= set(self.finished))

    def occupy(self, gate: threading.Event, *tasks: str) -> None:
        """Have batches run that end when the gate is opened."""
        self.engine.gate = gate
        for number, task in enumerate(tasks or ("occupied",), 1):
            self.submit(entry(task, 3))
            eventually(lambda number=number: len(self.engine.batches) >= number)

    def close(self) -> None:
        """Stop and check."""
        if self.engine.gate is not None:
            self.engine.gate.set()
        for gate in (*self.engine.load_gates.values(), *self.engine.fetch_gates.values()):
            gate.set()
        self.loop.stop()
        self.loop._queue.check_integrity()
        assert self.loop.num_rows == 0
        eventually(lambda: not self.engine.loading and not self.loop._loader.loads.loading)
        assert not self.loop._loader.loads.held
        assert not +self.engine.holds
        assert Counter(self.finished) == Counter(self.submitted)
        assert all(each.is_finished for each in self.submitted)
