"""The waiting entries of one urgency: fair among callers by weight, and among each one's tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from adapter_runtime import TaskVersion
from serving.scheduler.entries import Entry
from serving.scheduler.turns import Turns

IsWarm = Callable[[TaskVersion], bool]


@dataclass(slots=True, eq=False)
class _Caller:
    """Who has lanes: their share of the device does not depend on how many."""

    name: str
    weight: float = 1.0
    lanes: dict[str, Lane] = field(default_factory=dict)
    turns: Turns[Lane] = field(default_factory=Turns)
    is_able: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    """What one caller waits for of one task, oldest first; never empty for long."""

    caller: _Caller
    task: str
    entries: deque[Entry] = field(default_factory=deque)

    def first_warm(self, is_warm: IsWarm) -> Entry | None:
        """The oldest entry whose version is at hand."""
        return next((entry for entry in self.entries if is_warm(entry.version)), None)

    def drop(self, entry: Entry) -> None:
        """Take an entry out."""
        if self.entries[0] is entry:
            self.entries.popleft()
        else:
            self.entries.remove(entry)


class Lanes:
    """A tree of two levels, callers and their tasks, each in the order of `Turns`."""

    def __init__(self) -> None:
        self._callers: dict[str, _Caller] = {}
        self._turns: Turns[_Caller] = Turns()
        self._passed: list[_Caller] = []

    def __bool__(self) -> bool:
        return bool(self._callers)

    def __iter__(self) -> Iterator[Lane]:
        for caller in self._callers.values():
            yield from caller.lanes.values()

    def add(self, entry: Entry) -> None:
        """Queue an entry at the end of its lane."""
        self._lane(entry).entries.append(entry)

    def put_back(self, entry: Entry, tokens: int) -> None:
        """Take back what an entry was served and did not use; it waits before all of its lane."""
        task, caller = entry.version.task, self._callers.get(entry.caller)
        if caller is not None:
            caller.turns.refund(task, caller.lanes.get(task), tokens)
        self._turns.refund(entry.caller, caller, tokens / entry.weight)
        if entry.is_taken:
            self._lane(entry).entries.appendleft(entry)

    def first(self) -> Lane | None:
        """Whose turn it is; None where all are passed over or nobody waits."""
        while (caller := self._turns.first()) is not None:
            lane = caller.turns.first()
            if lane is not None:
                return lane
            self._turns.set_aside(is_able=caller.is_able)
        return None

    def serve(self, lane: Lane, tokens: int) -> None:
        """The first lane has had so many tokens; it leaves when nothing of it waits any more."""
        caller = lane.caller
        if lane.entries:
            caller.turns.serve(tokens)
        else:
            del caller.lanes[lane.task]
            caller.turns.serve_last(tokens, lane.task)
        if caller.lanes:
            self._turns.serve(tokens / caller.weight)
        else:
            del self._callers[caller.name]
            self._turns.serve_last(tokens / caller.weight, caller.name)

    def pass_over(self, lane: Lane, *, is_able: bool) -> None:
        """Let others go before the first lane until `resume`.

        Args:
            lane: the first.
            is_able: whether it only found no place, so that it is first next time.
        """
        caller = lane.caller
        caller.turns.set_aside(is_able=is_able)
        caller.is_able |= is_able
        self._passed.append(caller)

    def resume(self) -> None:
        """A batch is full: those that were passed over wait with the others again."""
        for caller in self._passed:
            caller.is_able = False
            caller.turns.resume()
        self._passed.clear()
        self._turns.resume()

    def remove(self, lane: Lane) -> None:
        """Forget a lane in which nothing waits any more."""
        caller = lane.caller
        del caller.lanes[lane.task]
        caller.turns.leave(lane.task, lane)
        if not caller.lanes:
            del self._callers[caller.name]
            self._turns.leave(caller.name, caller)

    def lane_of(self, entry: Entry) -> Lane:
        """Where an entry waits."""
        return self._callers[entry.caller].lanes[entry.version.task]

    def _lane(self, entry: Entry) -> Lane:
        """Where an entry is to wait."""
        caller = self._callers.get(entry.caller)
        if caller is None:
            caller = self._callers[entry.caller] = _Caller(entry.caller)
            self._turns.enter(entry.caller, caller)
        caller.weight = entry.weight
        task = entry.version.task
        lane = caller.lanes.get(task)
        if lane is None:
            lane = caller.lanes[task] = Lane(caller, task)
            caller.turns.enter(task, lane)
        return lane

    def check_integrity(self) -> None:
        """Assert that every lane waits for something and has one turn."""
        for caller in self._callers.values():
            assert len(caller.turns) == len(caller.lanes) > 0, "A lane has no turn. This is a bug."
            for task, lane in caller.lanes.items():
                places = {(entry.caller, entry.version.task) for entry in lane.entries}
                assert places == {(caller.name, task)}, (
                    "An empty or foreign lane stayed. This is a bug."
                )
        assert len(self._turns) == len(self._callers), "A caller has no turn. This is a bug."
