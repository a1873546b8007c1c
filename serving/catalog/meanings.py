"""What an entry's values mean, so that equal meanings are found equal however they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OWN = ("adapter", "head")
"""Keys that a version states itself, always."""
DEFAULTS: Mapping[str, Any] = {
    "kind": None,
    "labels": None,
    "limits": {},
    "options": {},
    "pinned": False,
    "examples": [],
}
"""What it means to leave a key out, for those that a task may state for its versions."""


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of a key mean the same."""
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: each for name, each in value.items() if each is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return value
