"""From the outcomes of a batch to its entries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from adapter_runtime import Arrays, CapacityError
from serving.recent import MAX_NAMES, Batch
from serving.scheduler.attempts import Part
from serving.scheduler.entries import Entry, Pick

MAX_RETURNS = 16
"""Times in a row that an input's rows find no room before it fails."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a part of a batch left behind: entries that are finished now, and rows to run again."""

    finished: list[Entry]
    returned: dict[Entry, list[int]]


def settle(part: Part, started_s: float, batch: Batch) -> Settled:
    """Hand each outcome to its entry; rows that found no room are named to be put back.

    Args:
        part: rows with their outcomes.
        started_s: when their batch started, on the entries' clock.
        batch: what is told of them.
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
            _time(entry, batch)
    returned = {entry: rows for entry, rows in returned.items() if not entry.is_finished}
    for entry in returned:
        entry.num_returns += 1
    return Settled([entry for entry in open_before if entry.is_finished], returned)


def _may_return(entry: Entry, outcome: Arrays | Exception) -> bool:
    is_refused = isinstance(outcome, CapacityError)
    return is_refused and not entry.is_finished and entry.num_returns < MAX_RETURNS


def _time(entry: Entry, batch: Batch) -> None:
    entry.load_s += batch.load_s
    entry.batch_tokens = batch.num_tokens
    entry.batch_tasks = batch.num_tasks
    entry.batches += (batch,)


def batch_of(part: Part, started_s: float, now_s: float) -> Batch:
    """What there is to tell of rows that ran together, or failed so.

    Args:
        part: the rows.
        started_s, now_s: when their batch started and what time it is, on the entries' clock.
    """
    entries = {pick.entry for pick in part.picks}
    tasks = list(dict.fromkeys(pick.entry.version.task for pick in part.picks))
    stats = part.result.stats if part.result is not None else None
    load_s = stats.load_s if stats is not None else 0.0
    compute_s = stats.compute_s if stats is not None else now_s - started_s
    return Batch(
        # No secret; asking the system would give up the interpreter's lock beside busy threads.
        id=f"{random.getrandbits(128) | 1:032x}",
        began_s=time.time() - load_s - compute_s,
        load_s=load_s,
        compute_s=compute_s,
        waited_s=max(0.0, started_s - min(entry.queued_s for entry in entries)),
        num_rows=len(part.picks),
        num_tokens=_tokens(part.picks) if stats is None else stats.num_tokens,
        num_tasks=len(tasks),
        num_adapters=len(frozenset().union(*(entry.adapters for entry in entries))),
        num_padding_avoided=stats.num_padding_avoided if stats is not None else 0,
        tasks=tuple(tasks[:MAX_NAMES]),
        lane=threading.current_thread().name,
        error=type(part.error).__name__ if part.error is not None else "",
        num_distinct=stats.num_distinct if stats is not None else 0,
    )


def _tokens(picks: Sequence[Pick]) -> int:
    return sum(pick.entry.tokens_of((pick.row,)) for pick in picks)
