"""Any number of rows in batches that memory and the device hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapter_runtime.types import Composition, WorkItem, leaves

MOST_TOKENS = 8192
"""Tokens of a batch: larger ones are no faster, and their states take memory by the token."""


def portions(
    items: Sequence[WorkItem], most_adapters: int, most_tokens: int = MOST_TOKENS
) -> Iterator[list[int]]:
    """The numbers of all items, batch by batch; those of one composition follow one another.

    An item that is larger than a batch may be has one of its own.

    Args:
        items: the rows.
        most_adapters: distinct ones in a batch.
        most_tokens: of a batch, all rows together.
    """
    places: dict[Composition | None, list[int]] = {}
    for number, item in enumerate(items):
        places.setdefault(item.version.composition, []).append(number)
    batch: list[int] = []
    tokens, adapters = 0, set[str]()
    for composition, numbers in places.items():
        own = {leaf.ref for leaf in leaves(composition)}
        for number in numbers:
            size = len(items[number].row.input_ids)
            is_full = tokens + size > most_tokens or len(adapters | own) > most_adapters
            if batch and is_full:
                yield batch
                batch, tokens, adapters = [], 0, set()
            batch.append(number)
            tokens += size
            adapters |= own
    if batch:
        yield batch
