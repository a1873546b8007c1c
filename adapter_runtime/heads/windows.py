"""Long texts as windows, and scores of windows as one: what kinds with windows share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.errors import TooLong
from adapter_runtime.heads.inputs import row_limit, window_check
from adapter_runtime.types import Aggregation, Limits, Overflow

DEFAULT_STRIDE = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of a long text each of its windows shows, and how they make one answer.

    Args:
        sizes: tokens of the text in each window, special tokens left out.
        aggregation: of the windows' scores: the mean or the highest.
    """

    sizes: tuple[int, ...]
    aggregation: Aggregation

    def pool(self, scores: np.ndarray) -> np.ndarray:
        """One answer's scores; those of a single window as they are.

        Shape: `[windows, …]` to `[…]`.
        """
        if len(scores) == 1:
            found: np.ndarray = scores[0]
        elif self.aggregation is Aggregation.MAX:
            found = scores.max(axis=0)
        else:
            found = np.average(scores, axis=0, weights=self.sizes)
        return found


def overlap(limits: Limits, field: str) -> Callable[[int], int]:
    """How many tokens neighbouring windows share, by how many one has room for.

    Without a stride of the task's a window shows at least three quarters of new text, with one
    at least half.

    Args:
        limits: the task's.
        field: of the text that every window repeats.
    """

    def shared(room: int) -> int:
        """Raises TooLong where there is no room."""
        if room < 1:
            message = "leaves no room for the text beside it; send a shorter one."
            raise TooLong(message, field)
        if limits.stride is None:
            return min(DEFAULT_STRIDE, room // 4)
        return min(limits.stride, room // 2)

    return shared


def fit_windows(
    tokenizer: Tokenizer,
    text: str,
    pair: str | None,
    limits: Limits,
    *,
    field: str = "inputs",
    taken: int = 0,
) -> tuple[list[Tokens], Shown]:
    """A row per window of a text, or of the longer one of a pair; a text that fits is one row.

    Args:
        tokenizer: the backbone's.
        text, pair: the texts.
        limits: the task's; of an aggregation `first` there is only the first window.
        field: for messages.
        taken: rows that the input has made already.

    Raises:
        TooLong: there are too many windows, or none has room.
    """
    aggregation = limits.aggregation or Aggregation.MEAN
    is_first = aggregation is Aggregation.FIRST
    rows = tokenizer.windows(
        text,
        pair,
        row_limit(tokenizer, limits),
        overlap(limits, field),
        None if is_first else window_check(field, None, taken),
        longer=True,
        with_offsets=False,
    )
    return rows, Shown(tuple(row.shown for row in rows), aggregation)


def fit_pair_windows(
    tokenizer: Tokenizer, text: str, pairs: Sequence[str], limits: Limits, field: str
) -> tuple[list[Tokens], Shown]:
    """Rows of the same windows of a text with each of many pairs: a pair's windows in turn.

    Args:
        tokenizer: the backbone's.
        text, pairs: the text, and what every window of it is paired with.
        limits: the task's.
        field: of the pairs, for messages.

    Raises:
        TooLong: there are too many rows, or none has room.
    """
    most, check = row_limit(tokenizer, limits), window_check("inputs", None)
    found = tokenizer.windows_of_pairs(text, pairs, most, overlap(limits, field), check)
    shown = Shown(tuple(row.shown for row in found[0]), limits.aggregation or Aggregation.MEAN)
    return [row for rows in found for row in rows], shown


def is_windowed(limits: Limits) -> bool:
    """Whether long texts are read in windows."""
    return limits.overflow is Overflow.WINDOW
