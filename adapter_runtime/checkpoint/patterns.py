"""Regular expressions from files that are not trusted: none may take for ever.

A matcher tries every way to share a path among a pattern's quantifiers before it gives up. The
number of ways is estimated from the parsed pattern; what would take seconds is refused.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

MAX_LENGTH = 10_000
MAX_WAYS = 4_000_000
MAX_PATTERNS = 2048

_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_FREE, _HELD_BY_ONE, _HELD = 60, 8, 3
"""Ends of a quantifier in a path of 60 characters: anywhere, before a character, before more."""


class Refused(ValueError):
    """The pattern is no regular expression, or could take too long."""


@lru_cache(maxsize=2 * MAX_PATTERNS)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready to be matched against a module's path.

    Raises:
        Refused: it is no regular expression, or could take too long.
    """
    check_together((pattern,))
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused("is no regular expression") from error


def check_together(patterns: Sequence[str]) -> None:
    """Hold patterns that are all tried on the same path against the limits.

    Raises:
        Refused: they are too many, one is no regular expression, or all could take too long.
    """
    if len(patterns) > MAX_PATTERNS:
        raise Refused(f"is one of more than {MAX_PATTERNS} patterns; use fewer")
    if sum(map(_cost, patterns)) > MAX_WAYS:
        raise Refused("could take too long to match; use fewer or plainer quantifiers")


@lru_cache(maxsize=2 * MAX_PATTERNS)
def _cost(pattern: str) -> float:
    if len(pattern) > MAX_LENGTH:
        raise Refused("is too long for a pattern; list the names instead")
    try:
        # Only the parser of `re` itself reads patterns exactly as `re` does.
        return _ways(importlib.import_module("re._parser").parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused("is no regular expression") from error


def _ways(items: Iterable[tuple[Any, Any]]) -> float:
    """About how many ways there are to match a sequence."""
    total, following = 1.0, 0
    for operation, argument in reversed(list(items)):
        total *= _ways_of(str(operation), argument, following)
        literals = _literals([(operation, argument)])
        following = following + literals if literals else 0
    return total


def _ways_of(operation: str, argument: Any, following: int) -> float:
    if operation in _REPEATS:
        return _ways_of_repeat(argument, following)
    if operation == "BRANCH":
        return sum(_ways(items) for items in argument[1])
    if operation == "GROUPREF_EXISTS":
        return sum(_ways(items) for items in argument[1:] if items is not None)
    if operation in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return _ways(argument[-1])
    return _ways(argument) if operation == "ATOMIC_GROUP" else 1.0


def _ways_of_repeat(argument: tuple[int, int, Any], following: int) -> float:
    least, most, body = argument
    # What matches nothing is repeated for as often as the pattern says, not as the path is long.
    inner = _ways(body) * (max(int(least), 1) if body.getwidth()[0] == 0 else 1)
    if inner > 1 and most > 1:
        # Only a path's few dots can limit the rounds, each of which can go several ways.
        is_limited = inner <= _FREE and _literals(body, only=".")
        return inner * _FREE if is_limited else float("inf")
    free = (_FREE, _HELD_BY_ONE)[following] if following < 2 else _HELD
    return inner * min(int(most) - int(least) + 1, free)


def _literals(items: Iterable[tuple[Any, Any]], only: str | None = None) -> int:
    """How many characters every match of the sequence holds; of all, or of one kind."""
    count = 0
    for operation, argument in items:
        kind = str(operation)
        if kind == "LITERAL":
            count += only is None or argument == ord(only)
        elif kind == "SUBPATTERN":
            count += _literals(argument[-1], only)
        elif kind == "BRANCH":
            count += min(_literals(branch, only) for branch in argument[1])
        elif kind in _REPEATS and argument[0] > 0:
            count += _literals(argument[2], only)
    return count
