"""What each caller's tasks have inside, and whose share of the room and of the device that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

_FLOW_SHARE = 4
"""Times the free room that a flow may hold: a lone one four fifths, of n each 4 / (4n + 1)."""
_CALLER_SHARE = 16
"""Likewise all flows of a caller."""


class Flow(NamedTuple):
    """Requests that wait for each other.

    Args:
        task: what they ask for.
        caller: who asks.
        rank: how many kinds of requests go before them.
        weight: the caller's share where callers wait for each other.
    """

    task: str = ""
    caller: str = ""
    rank: int = 0
    weight: float = 1.0


@dataclass(slots=True)
class Inside:
    """What is inside of a flow, of a caller, or of all.

    Args:
        requests, rows, tokens: how many.
        promised_s: when the last one that was sent away is to come again, on the clock.
    """

    requests: int = 0
    rows: int = 0
    tokens: float = 0.0
    promised_s: float = 0.0

    def add(self, requests: int, rows: int, tokens: float) -> None:
        """Count up, or down."""
        self.requests += requests
        self.rows += rows
        self.tokens += tokens


@dataclass(slots=True)
class _Caller:
    weight: float
    inside: Inside = field(default_factory=Inside)
    flows: dict[str, Inside] = field(default_factory=dict)


@dataclass(slots=True)
class _Rank:
    weight: float = 0.0
    inside: Inside = field(default_factory=Inside)
    callers: dict[str, _Caller] = field(default_factory=dict)


class Flows:
    """Counts by rank, caller and task; holds only those that have something inside."""

    def __init__(self) -> None:
        self.all = Inside()
        self._ranks: dict[int, _Rank] = {}

    def inside(self, flow: Flow) -> Inside:
        """What a flow has inside."""
        _, caller = self._find(flow)
        return caller.flows.get(flow.task, Inside()) if caller else Inside()

    def add(self, flow: Flow, requests: int, rows: int, tokens: float) -> None:
        """Count a flow up, or down; one without requests is forgotten."""
        rank = self._ranks.setdefault(flow.rank, _Rank())
        caller = rank.callers.get(flow.caller)
        if caller is None:
            caller = rank.callers[flow.caller] = _Caller(flow.weight)
            rank.weight += flow.weight
        inside = caller.flows.setdefault(flow.task, Inside())
        for each in (self.all, rank.inside, caller.inside, inside):
            each.add(requests, rows, tokens)
        if not inside.requests:
            del caller.flows[flow.task]
        if not caller.flows:
            del rank.callers[flow.caller]
            rank.weight -= caller.weight
        if not rank.callers:
            del self._ranks[flow.rank]

    def may_hold(self, flow: Flow, more: Inside, free: Inside) -> bool:
        """Whether a flow keeps its share of the room with so much more, rather than all of it.

        What is free is shared, not what there is: a lone flow gets most, and a newcomer always
        finds some. Callers share it by their weights, and each one's tasks what the caller may.
        """
        rank, caller = self._find(flow)
        if rank is None or caller is None:
            return True
        weight = caller.weight * len(rank.callers) / rank.weight
        own = caller.flows.get(flow.task, Inside())
        by_requests = caller.inside.requests, own.requests, more.requests, free.requests
        by_rows = caller.inside.rows, own.rows, more.rows, free.rows
        is_lone = len(rank.callers) == 1
        return _is_fair(*by_requests, weight, is_lone) and _is_fair(*by_rows, weight, is_lone)

    def tokens_ahead(self, flow: Flow, more: float) -> float:
        """Tokens that run until so many more of a flow have: its own by its share, at most all."""
        rank, caller = self._find(flow)
        higher = sum(
            each.inside.tokens for number, each in self._ranks.items() if number < flow.rank
        )
        if rank is None or caller is None:
            return higher + more
        own = caller.flows.get(flow.task, Inside()).tokens + more
        share = caller.weight / rank.weight / max(1, len(caller.flows))
        return higher + min(own / share, rank.inside.tokens + more)

    def _find(self, flow: Flow) -> tuple[_Rank | None, _Caller | None]:
        rank = self._ranks.get(flow.rank)
        return rank, rank.callers.get(flow.caller) if rank else None

    def check_integrity(self) -> None:
        """Assert that the parts add up and that nothing stays of those who have left."""
        callers = [each for rank in self._ranks.values() for each in rank.callers.values()]
        flows = [inside for caller in callers for inside in caller.flows.values()]
        assert all(inside.requests > 0 for inside in flows), "A flow stayed. This is a bug."
        for parts in ([each.inside for each in callers], flows):
            requests, rows = sum(each.requests for each in parts), sum(each.rows for each in parts)
            assert (requests, rows) == (self.all.requests, self.all.rows), (
                "Flows are miscounted. This is a bug."
            )


def _is_fair(
    by_caller: int, by_flow: int, more: int, free: int, weight: float, is_lone: bool
) -> bool:
    """Of requests or of rows: whether the caller may hold so many more, and the flow of those."""
    left = free if is_lone else _CALLER_SHARE * weight * free - by_caller
    return not more or (more <= left and by_flow + more <= _FLOW_SHARE * left)
