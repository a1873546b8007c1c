"""What happens to an input that is longer than a task's rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Overflow(StrEnum):
    """What happens to an input longer than the task's token limit."""

    TRUNCATE = "truncate"
    WINDOW = "window"
    REJECT = "reject"


class Aggregation(StrEnum):
    """How the windows of one input make one answer."""

    MEAN = "mean"
    """Each window counts as much as it shows tokens of the text that is read in windows."""
    MAX = "max"
    """The highest score in any window, for each label, choice or text."""
    FIRST = "first"
    """The first window answers; no other is read."""
    LAST = "last"
    """The last window answers; no other is read."""
    BEST = "best"
    """The best answers of all windows."""
    STITCH = "stitch"
    """Every token by one window, neighbours joined where windows meet."""
    CONTEXT = "context"
    """Each place by the window that shows most around it."""
    SENTENCES = "sentences"
    """Windows end where sentences do, and their answers follow one another."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A task's length rule; None means the backbone's own limit and the head kind's own rule.

    Args:
        max_tokens: of one row, special tokens included.
        overflow: what happens to longer inputs.
        stride: tokens that neighbouring windows share.
        aggregation: how windows make one answer.
    """

    max_tokens: int | None = None
    overflow: Overflow | None = None
    stride: int | None = None
    aggregation: Aggregation | None = None
