"""Reading values of a checkpoint's configuration, and what a method reads its Parts from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import PlugPoint, Site


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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadConfig(f"{key} must be a number, not {value!r}.")
    return value


def positive_integer(value: Any, key: str) -> int:
    """The value as an integer of at least 1.

    Raises:
        BadConfig: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadConfig(f"{key} must be an integer of at least 1, not {value!r}.")
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
