"""Reading values of a checkpoint's configuration, and what a method reads its Parts from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.stacks import activation
from adapter_runtime.types import (
    NOTHING,
    SUBLAYER_SITES,
    Note,
    PlugPoint,
    Site,
)

_DTYPES = ("float32", "float16", "bfloat16", "float64", "half", "float", "double")
OPEN_SITES = frozenset({Site.LAYER, Site.KEYS_VALUES, Site.CROSS_KEYS_VALUES})
"""Sites whose points have no module of their own."""
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


def check_dtype(config: Mapping[str, Any]) -> None:
    """Refuse a `dtype` that no trained tensor can have; all are read as float32.

    Raises:
        BadConfig: it is none of torch's floating-point types.
    """
    name = config.get("dtype")
    if name is not None and name not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise BadConfig(f"dtype must be one of {known}, or null, not {name!r:.200}.")


def activation_name(name: Any) -> str:
    """The lower-cased name of an activation that transformers knows.

    Raises:
        BadConfig: there is none of that name.
    """
    try:
        activation(str(name).lower())
    except KeyError:
        raise BadConfig(
            f"The activation {str(name)[:200]!r} is not known; use one of transformers' ACT2FN.",
            "unknown_activation",
        ) from None
    return str(name).lower()


class Residuals(StrEnum):
    """What the blocks of a file saw of their sublayer's residual and norm."""

    SEEN = "seen"
    UNSEEN = "unseen"
    ODD = "odd"
    """A user's interface gave them something that we do not know."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """An AdapterHub checkpoint as methods read it.

    Args:
        name: the adapter's name inside tensor names.
        facts: the backbone that it must fit.
        ledger: its tensors, by names without the base model's prefix.
        is_lora_unscaled: the library that trained it ignored `alpha / r`.
        is_merged_unscaled: likewise where queries, keys and values are one projection.
        residuals: what its blocks saw of residuals.
        options: the task's.
        notes: what readers tell about quirks that they applied; they add to it.
    """

    name: str
    facts: BackboneFacts
    ledger: Ledger
    is_lora_unscaled: bool = False
    is_merged_unscaled: bool = False
    residuals: Residuals = Residuals.SEEN
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    notes: list[Note] = field(default_factory=list)

    @property
    def is_hooked(self) -> bool:
        """The library hooked the model, so residual and norm behind a block are the model's own."""
        return self.facts.is_hooked or self.residuals is not Residuals.SEEN

    def points(self, config: Mapping[str, Any], sites: Sequence[Site]) -> Iterator[PlugPoint]:
        """The points at these sites in every layer that the configuration does not leave out.

        Linears and sublayers that a layer lacks are skipped.
        """
        left_out = config.get("leave_out") or ()
        if not isinstance(left_out, (list, tuple)):
            raise BadConfig(f"leave_out must be a list of layer numbers, not {left_out!r:.200}.")
        for layer in range(self.facts.num_layers):
            if layer not in left_out:
                points = (PlugPoint(layer, site) for site in sites)
                yield from (point for point in points if self._has(point))

    def _has(self, point: PlugPoint) -> bool:
        if point.site in SUBLAYER_SITES:
            return point in self.facts.adapter_paths
        return point.site in OPEN_SITES or point in self.facts.shapes

    def take_shared(self, name: str, shape: Sequence[int]) -> Tensor:
        """A tensor that all layers of the adapter share."""
        full = f"shared_parameters.{self.name}.{name}"
        if full in self.ledger:
            return self.ledger.take(full, shape)
        self.ledger.problem(
            "missing_tensor",
            f"{full} of shape {list(shape)} is missing: the adapters library leaves it out when it "
            "saves from a bare model; save it again from a model with a head.",
        )
        return torch.zeros(()).expand(tuple(shape))

    def alias_shared(self) -> None:
        """What all layers share is in the file also where no layer reads it."""
        start = f"shared_parameters.{self.name}."
        self.ledger.alias(
            (name for name in self.ledger.names() if name.startswith(start)), "not needed"
        )
