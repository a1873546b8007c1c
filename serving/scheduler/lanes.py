"""What waits for one thing: fair among callers by weight, and among each one's tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from serving.scheduler.turns import Turns


class Waiter(Protocol):
    """What waits, for a caller of some weight."""

    @property
    def caller(self) -> str:
        """Whose it is."""
        ...

    @property
    def weight(self) -> float:
        """The caller's share where callers wait for each other."""
        ...


Item = TypeVar("Item", bound=Waiter)


@dataclass(slots=True, eq=False)
class _Caller(Generic[Item]):
    """Who has lanes: their share of the device does not depend on how many."""

    name: str
    weight: float = 1.0
    lanes: dict[str, Lane[Item]] = field(default_factory=dict)
    turns: Turns[Lane[Item]] = field(default_factory=Turns)
    is_able: bool = False


@dataclass(slots=True, eq=False)
class Lane(Generic[Item]):
    """What one caller waits for of one task, oldest first; never empty for long."""

    caller: _Caller[Item]
    task: str
    entries: deque[Item] = field(default_factory=deque)

    def drop(self, entry: Item) -> None:
        """Take an entry out."""
        if self.entries[0] is entry:
            self.entries.popleft()
        else:
            self.entries.remove(entry)


class Lanes(Generic[Item]):
    """A tree of two levels, callers and their tasks, each in the order of `Turns`.

    Args:
        task_of: the task of what waits.
    """

    def __init__(self, task_of: Callable[[Item], str]) -> None:
        self._task_of = task_of
        self._callers: dict[str, _Caller[Item]] = {}
        self._turns: Turns[_Caller[Item]] = Turns()
        self._passed: list[_Caller[Item]] = []

    def __bool__(self) -> bool:
        return bool(self._callers)

    def __iter__(self) -> Iterator[Lane[Item]]:
        for caller in self._callers.values():
            yield from caller.lanes.values()

    def add(self, entry: Item) -> None:
        """Queue an entry at the end of its lane."""
        self._lane(entry).entries.append(entry)

    def put_back(self, entry: Item, tokens: int, *, has_left: bool) -> None:
        """Take back what an entry was served and did not use; it waits before all of its lane.

        Args:
            entry: which one.
            tokens: how much.
            has_left: whether it had left its lane.
        """
        task, caller = self._task_of(entry), self._callers.get(entry.caller)
        if caller is not None:
            caller.turns.refund(task, caller.lanes.get(task), tokens)
        self._turns.refund(entry.caller, caller, tokens / entry.weight)
        if has_left:
            self._lane(entry).entries.appendleft(entry)

    def first(self) -> Lane[Item] | None:
        """Whose turn it is; None where all are passed over or nobody waits."""
        while (caller := self._turns.first()) is not None:
            lane = caller.turns.first()
            if lane is not None:
                return lane
            self._turns.set_aside(is_able=caller.is_able)
        return None

    def serve(self, lane: Lane[Item], tokens: int) -> None:
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

    def pass_over(self, lane: Lane[Item], *, is_able: bool) -> None:
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

    def remove(self, lane: Lane[Item]) -> None:
        """Forget a lane in which nothing waits any more."""
        caller = lane.caller
        del caller.lanes[lane.task]
        caller.turns.leave(lane.task, lane)
        if not caller.lanes:
            del self._callers[caller.name]
            self._turns.leave(caller.name, caller)

    def lane_of(self, entry: Item) -> Lane[Item]:
        """Where an entry waits."""
        return self._callers[entry.caller].lanes[self._task_of(entry)]

    def _lane(self, entry: Item) -> Lane[Item]:
        """Where an entry is to wait."""
        caller = self._callers.get(entry.caller)
        if caller is None:
            caller = self._callers[entry.caller] = _Caller(entry.caller)
            self._turns.enter(entry.caller, caller)
        caller.weight = entry.weight
        task = self._task_of(entry)
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
                places = {(entry.caller, self._task_of(entry)) for entry in lane.entries}
                assert places == {(caller.name, task)}, (
                    "An empty or foreign lane stayed. This is a bug."
                )
        assert len(self._turns) == len(self._callers), "A caller has no turn. This is a bug."
