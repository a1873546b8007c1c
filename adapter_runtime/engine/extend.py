"""Rows as they run: with the virtual tokens and the positions that their adapters bring."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime.types import Row, RowExtension

_NOWHERE = -1
"""The position of padding tokens, counted from the first position, where these are skipped."""


def extend(row: Row, extension: RowExtension | None, skipped: int | None = None) -> Row:
    """The row with placeholders for virtual tokens, and with its position numbers.

    Args:
        row: as encoded; not empty.
        extension: of the task's version; None changes nothing.
        skipped: the padding token where the backbone's position numbers skip it, else None.
    """
    if extension is None:
        return row
    ids, count, place = row.input_ids, extension.num_tokens, extension.place
    type_ids = row.type_ids if extension.reads_types else None
    return row._replace(
        # Any token will do, but one that means nothing to whoever looks for ends or padding.
        input_ids=_put(ids, place, count, ids[0]),
        type_ids=None if type_ids is None else _put(type_ids, place, count, 0),
        positions=_positions(ids, extension, skipped),
        virtual=(place, count) if count else None,
    )


def _put(values: Sequence[int], place: int, count: int, fill: int) -> tuple[int, ...]:
    return (*values[:place], *[fill] * count, *values[place:])


def _positions(ids: Sequence[int], extension: RowExtension, skipped: int | None) -> tuple[int, ...]:
    if extension.takes_positions:
        # Where vectors come in the place of tokens, no model can tell padding from others.
        first = extension.shift
        return tuple(range(first, first + len(ids) + extension.num_tokens))
    own = _count(ids, extension.shift, skipped)
    # Virtual tokens that act behind the position table stand at any position.
    return _put(own, extension.place, extension.num_tokens, 0)


def _count(ids: Sequence[int], first: int, skipped: int | None) -> Sequence[int]:
    if skipped is None or skipped not in ids:
        return range(first, first + len(ids))
    positions, following = [], first
    for token in ids:
        positions.append(_NOWHERE if token == skipped else following)
        following += token != skipped
    return positions
