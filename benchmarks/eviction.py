"""Which adapter should leave when room is needed? The product's rule against the least recent.

    python -m benchmarks.eviction [--requests 100000]

Books alone, no weights: a trace of requests whose tasks follow Zipf's law, over adapters of equal
or of mixed sizes. `drifting` gives another task the first rank every 200 requests, `shuffled` new
ranks to all every 20,000. Times are for a load each miss, in ms for each request; lower is better.
"""

from __future__ import annotations

import argparse
import random
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import accumulate, product
from typing import NamedTuple, Protocol

from adapter_runtime.residency.pins import Residents

_TASKS = 1000
_ROOM_BYTES = 250 << 20
Sizes = tuple[tuple[float, int], ...]
_SIZES: dict[str, Sizes] = {
    "mixed": ((0.80, 300 << 10), (0.15, 3 << 20), (0.05, 20 << 20)),
    "equal": ((1.0, 2500 << 10),),
}
"""Shares of adapters and their bytes: LoRA, bottlenecks and those with whole modules; or alike."""
_LOAD_MS, _BYTES_PER_MS = 10.0, 200 << 10
_SEED = 7


class Thing(NamedTuple):
    """What a task needs."""

    key: str
    num_bytes: int
    load_ms: float


class Rule(Protocol):
    """Who leaves when room is needed."""

    def ask(self, thing: Thing) -> bool:
        """Use a thing, bringing it in where it is absent; whether it was there."""
        ...


class LeastRecent:
    """What was used least recently leaves."""

    def __init__(self) -> None:
        self._there: OrderedDict[str, int] = OrderedDict()
        self._num_bytes = 0

    def ask(self, thing: Thing) -> bool:
        """Use a thing."""
        if thing.key in self._there:
            self._there.move_to_end(thing.key)
            return True
        self._num_bytes += thing.num_bytes
        while self._num_bytes > _ROOM_BYTES:
            self._num_bytes -= self._there.popitem(last=False)[1]
        self._there[thing.key] = thing.num_bytes
        return False


class Books:
    """The product's own books of a device."""

    def __init__(self) -> None:
        self._books: Residents[None] = Residents(_TASKS, _ROOM_BYTES, "adapters")

    def ask(self, thing: Thing) -> bool:
        """Use a thing."""
        is_there = thing.key in self._books.entries
        if is_there:
            self._books.pin(thing.key)
        else:
            for victim in self._books.book(thing.key, thing.num_bytes):
                self._books.evict(victim)
            self._books.enter(thing.key, None)
        self._books.unpin(thing.key)
        return is_there


def make_things(sizes: Sizes, draw: random.Random) -> list[Thing]:
    """One for each task, sizes mixed at random over the ranks."""
    shares, values = zip(*sizes, strict=True)
    chosen = draw.choices(values, shares, k=_TASKS)
    return [
        Thing(str(number), size, _LOAD_MS + size / _BYTES_PER_MS)
        for number, size in enumerate(chosen)
    ]


def trace(things: list[Thing], skew: float, count: int, kind: str) -> Iterator[Thing]:
    """Requests by Zipf's law."""
    draw, order = random.Random(_SEED), things[:]
    weights = list(accumulate(1 / rank**skew for rank in range(1, _TASKS + 1)))
    for number in range(count):
        if kind == "drifting" and number % 200 == 0:
            order.insert(0, order.pop(draw.randrange(_TASKS)))
        if number == 0 or (kind == "shuffled" and number % 20_000 == 0):
            draw.shuffle(order)
        yield draw.choices(order, cum_weights=weights)[0]


def replay(rule: Rule, requests: Iterable[Thing]) -> tuple[float, float]:
    """Share of hits, and load time in ms for each request, once the room is filled."""
    found = [(rule.ask(thing), thing.load_ms) for thing in requests]
    counted = found[len(found) // 5 :]
    hits = sum(is_there for is_there, _ in counted)
    lost_ms = sum(load_ms for is_there, load_ms in counted if not is_there)
    return hits / len(counted), lost_ms / len(counted)


def main() -> None:
    """Print a line for each trace, with the figures of both rules."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    count = parser.parse_args().requests
    print("sizes  skew  trace      least recent      the product's")
    for what, sizes in _SIZES.items():
        for skew, kind in product((0.8, 1.0, 1.2), ("steady", "drifting", "shuffled")):
            things = make_things(sizes, random.Random(_SEED))
            rules: tuple[Rule, Rule] = (LeastRecent(), Books())
            found = [replay(rule, trace(things, skew, count, kind)) for rule in rules]
            told = "  ".join(f"{hits:6.1%} {lost_ms:6.2f} ms" for hits, lost_ms in found)
            print(f"{what:<6} {skew:<5} {kind:<9} {told}")


if __name__ == "__main__":
    main()
