"""How a long encoding is cut into windows that share tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tokenizers import Encoding

from adapter_runtime.backbone.tokenizer_rows import Tokens, pair_type

Stride = int | Callable[[int], int]
"""Tokens that neighbouring windows share, or that number from the room of one window; the latter
is asked for long texts only, and may refuse."""
Check = Callable[[int], None]
"""Hears how many rows there will be before they are made, and may raise."""


class Windows(NamedTuple):
    """Where the windows of a text lie in it, in tokens.

    Args:
        first: where the first one begins; below 0 never.
        step: from one to the next; below 0 where they go from the end to the start.
        room: tokens of the text in a whole window.
    """

    first: int
    step: int
    room: int

    def rows(self, whole: Encoding, max_tokens: int, *, has_pair: bool) -> list[Tokens]:
        """A row per window.

        Args:
            whole: the first window's row; it carries the others'.
            max_tokens: of a row that shows a whole window.
            has_pair: whether the windows are those of the second text of a pair.
        """
        kind = pair_type(whole) if has_pair and whole.overflowing else None
        others = max_tokens - self.room
        return [
            Tokens(row, max(self.first + number * self.step, 0), kind, len(row) - others)
            for number, row in enumerate([whole, *whole.overflowing])
        ]


def cut_windows(
    target: Encoding, room: int, stride: Stride, side: str, check: Check | None, times: int = 1
) -> Windows:
    """Cut an encoding to its first window; it then carries the others.

    Args:
        target: of the long text, without special tokens.
        room: tokens of it in one window.
        stride: tokens that neighbouring windows share; below the room.
        side: `left` or `right`, where the tokenizer cuts: windows go towards it.
        check: hears how many rows there will be, and may raise.
        times: rows that each window makes.
    """
    is_long = len(target) > room
    shared = (stride(room) if is_long else 0) if callable(stride) else stride
    step = room - shared
    if check is not None:
        check(times * (1 + max(0, -((room - len(target)) // max(1, step)))))
    first = max(len(target) - room, 0) if side == "left" else 0
    if is_long:
        target.truncate(room, stride=shared, direction=side)
    return Windows(first, -step if side == "left" else step, room)
