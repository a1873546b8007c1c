"""Rows as they run: with the virtual tokens and the positions that their adapters bring."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime.types import Row, RowExtension

_PLACEHOLDER = 0


def extend(row: Row, extension: RowExtension | None) -> Row:
    """The row with placeholders for virtual tokens, and with its position numbers.

    Args:
        row: as encoded.
        extension: of the task's version; None changes nothing.
    """
    if extension is None:
        return row
    count, place = extension.num_tokens, min(extension.place, len(row.input_ids))
    return row._replace(
        input_ids=_put(row.input_ids, place, count, _PLACEHOLDER),
        type_ids=None if row.type_ids is None else _put(row.type_ids, place, count, 0),
        positions=_positions(len(row.input_ids), place, extension),
        virtual=(place, count) if count else None,
    )


def _put(values: Sequence[int], place: int, count: int, fill: int) -> tuple[int, ...]:
    return (*values[:place], *[fill] * count, *values[place:])


def _positions(num_tokens: int, place: int, extension: RowExtension) -> tuple[int, ...]:
    count, shift = extension.num_tokens, extension.shift
    if extension.takes_positions:
        return tuple(range(shift, shift + num_tokens + count))
    # Virtual tokens that act behind the position table stand at any position.
    return _put(range(shift, shift + num_tokens), place, count, 0)
