"""Which replica a task's request goes to: a pure choice, without Ray.

Every task has an order of preference among the replicas (rendezvous hashing: when one comes or
goes, only its own tasks move). Hashing alone clumps, so that a replica takes requests only up to a
bound a little above the mean; what is over goes to the next one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

FACTOR = 1.25
FLOOR = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica as it stands for one task.

    Args:
        id: stable for as long as the replica lives.
        load: requests that it has now, 0 or more.
        room: requests that it takes at most, 1 or more.
        is_resident: the task's weights are on its device.
        is_refused: it could not read or check the task, so that another may do better.
    """

    id: str
    load: int
    room: int
    is_resident: bool = False
    is_refused: bool = False


@lru_cache(maxsize=1 << 16)
def score(task: str, replica: str) -> int:
    """How much a task prefers a replica; even over both, and the same in every process."""
    named = f"{replica}\0{task}".encode(errors="surrogatepass")
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "big")


def bound(loads: Sequence[int], factor: float = FACTOR, floor: int = FLOOR) -> int:
    """Requests that one replica may have after taking the next one.

    Args:
        loads: of all replicas, at least one.
        factor: how far above the mean; more than 1.
        floor: what a replica may always have: so few wait for one forward anyway.
    """
    return max(floor, math.ceil(factor * (sum(loads) + 1) / len(loads)))


def rank(
    task: str, replicas: Sequence[Candidate], factor: float = FACTOR, floor: int = FLOOR
) -> list[Candidate]:
    """The replicas for a request of the task, best first.

    Below the bound: those that hold its weights, then by the task's own order. Above it: the least
    loaded. Full ones come after them, and last those that cannot serve the task.

    Args:
        task: its name.
        replicas: all that there are; none gives none.
        factor, floor: as `bound`.
    """
    if not replicas:
        return []
    most = bound([each.load for each in replicas], factor, floor)

    def place(each: Candidate) -> tuple[bool, bool, bool, int, bool, int]:
        is_over = each.load >= most
        is_full = each.load >= each.room
        load = each.load if is_over or is_full else 0
        order = -score(task, each.id)
        return each.is_refused, is_full, is_over, load, not each.is_resident, order

    return sorted(replicas, key=place)
