"""Reading values of a checkpoint's configuration, and what a method reads its Parts from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import PlugPoint, Site

MAX_WIDTH = 1 << 20
"""No rank and no bottleneck is wider; more would not fit any file."""


class BadConfig(ValueError):
    """A configuration value cannot be used; the message names the key and what is expected.

    Args:
        message: one sentence.
        code: the problem's stable code.
    """

    def __init__(self, message: str, code: str = "bad_config") -> None:
        super().__init__(message)
        self.code = code


def number(config: Mapping[str, Any], key: str, default: float) -> float:
    """A finite number; numbers in strings and null are refused.

    Raises:
        BadConfig: it is none.
    """
    return as_number(config.get(key, default), key)


def as_number(value: Any, key: str) -> float:
    """The value as a finite number.

    Raises:
        BadConfig: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise BadConfig(f"{key} must be a number, not {value!r:.200}.")
    return value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def boolean(config: Mapping[str, Any], key: str, default: bool = False) -> bool:
    """A switch: true or false, 1 or 0; null is false, as for the libraries.

    Raises:
        BadConfig: it is something else, such as a word.
    """
    value = config.get(key, default)
    if value is not None and (not isinstance(value, int) or value not in (0, 1)):
        raise BadConfig(f"{key} must be true or false, not {value!r:.200}.")
    return bool(value)


def positive_integer(value: Any, key: str) -> int:
    """The value as an integer of 1 to `MAX_WIDTH`.

    Raises:
        BadConfig: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_WIDTH:
        raise BadConfig(f"{key} must be an integer of 1 to {MAX_WIDTH}, not {value!r:.200}.")
    return value


@dataclass(frozen=True, slots=True)
class HubFile:
    """An AdapterHub checkpoint as methods read it.

    Args:
        name: the adapter's name inside tensor names.
        facts: the backbone that it must fit.
        ledger: its tensors, by names without the base model's prefix.
        is_lora_unscaled: the library that trained it ignored `alpha / r`.
    """

    name: str
    facts: BackboneFacts
    ledger: Ledger
    is_lora_unscaled: bool = False

    def points(self, config: Mapping[str, Any], sites: Sequence[Site]) -> Iterator[PlugPoint]:
        """The points at these sites in every layer that the configuration does not leave out."""
        left_out = config.get("leave_out") or ()
        if not isinstance(left_out, (list, tuple)):
            raise BadConfig(f"leave_out must be a list of layer numbers, not {left_out!r}.")
        for layer in range(self.facts.num_layers):
            if layer not in left_out:
                yield from (PlugPoint(layer, site) for site in sites)
