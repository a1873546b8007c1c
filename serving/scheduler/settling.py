"""From the outcomes of a batch to its entries."""

from __future__ import annotations

from dataclasses import dataclass

from adapter_runtime import Arrays, CapacityError, RunStats
from serving.scheduler.attempts import Part
from serving.scheduler.entries import Entry

MAX_RETURNS = 16
"""Times in a row that an input's rows find no room before it fails."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a part of a batch left behind: entries that are finished now, and rows to run again."""

    finished: list[Entry]
    returned: dict[Entry, list[int]]


def settle(part: Part, started_s: float) -> Settled:
    """Hand each outcome to its entry; rows that found no room are named to be put back.

    Args:
        part: rows with their outcomes.
        started_s: when their batch started, on the entries' clock.
    """
    touched = dict.fromkeys(pick.entry for pick in part.picks)
    open_before = [entry for entry in touched if not entry.is_finished]
    returned: dict[Entry, list[int]] = {}
    for pick, outcome in zip(part.picks, part.outcomes(), strict=True):
        if _may_return(pick.entry, outcome):
            returned.setdefault(pick.entry, []).append(pick.row)
        else:
            pick.entry.settle(pick.row, outcome)
    for entry in touched:
        entry.started_s = started_s
        if part.result is not None:
            _time(entry, part.result.stats)
    returned = {entry: rows for entry, rows in returned.items() if not entry.is_finished}
    for entry in returned:
        entry.num_returns += 1
    return Settled([entry for entry in open_before if entry.is_finished], returned)


def _may_return(entry: Entry, outcome: Arrays | Exception) -> bool:
    is_refused = isinstance(outcome, CapacityError)
    return is_refused and not entry.is_finished and entry.num_returns < MAX_RETURNS


def _time(entry: Entry, stats: RunStats) -> None:
    entry.compute_s += stats.compute_s
    entry.load_s += stats.load_s
    entry.batch_tokens = stats.num_tokens
    entry.batch_tasks = stats.num_tasks
