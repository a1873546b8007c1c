"""Prefixes: trained keys and values that stand before a row's own in attention.

Source: `PrefixTuning` of the `adapters` library; PEFT's prefix tuning.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.routing import CountedPrefix, Groups, Prefix
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.stacks import StackedParts, StackedTable
from adapter_runtime.types import Part, RowExtension


@dataclass(frozen=True, slots=True)
class PrefixSettings:
    """What a prefix does beside attention.

    Args:
        shift: position numbers by which a row's own tokens move on.
        reads_types: the library hands token types on beside it.
        is_counted: the library's causal mask counts it as the row's first tokens.
    """

    shift: int = 0
    reads_types: bool = True
    is_counted: bool = False


class PrefixTable(StackedParts):
    """Stacked keys and values of prefixes with equal shapes, and their gates."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in part.tensors.items()}
        self._is_counted = _settings(part).is_counted
        self._stacks = StackedTable(shapes, device, dtype, apart=("keys", "values"))

    def prefixes(self, groups: Groups, x: Tensor) -> Sequence[Prefix]:
        """Keys and values of each row, times its gates. Shape: `[heads, length, width]` each."""
        keys, values = self._stacks.rows("keys"), self._stacks.rows("values")
        found = _prefixes(
            [(keys[row], values[row]) for row in groups.row_table_rows], self._is_counted
        )
        if "gate_weight" not in self._stacks:
            return found
        weight = groups.per_token(self._stacks["gate_weight"])
        scores = (weight @ x.unsqueeze(2)).squeeze(2)
        scores = scores + groups.per_token(self._stacks["gate_bias"])
        return _gated(found, groups.spans, scores)


class PrefixTuning(CommonMethod):
    """Keys and values before a row's own, with gates times the mean of each row's sigmoids.

    Tensors: `keys` and `values` `[key heads, length, head width]`; with gates `gate_weight`
    `[1 or 2, width]` and `gate_bias`: one gate for both, or one for each.
    """

    name = "prefix"
    first_only = False

    def extension(self, part: Part) -> RowExtension | None:
        """The shift of position numbers, where there is one."""
        settings = _settings(part)
        if not settings.shift and settings.reads_types:
            return None
        return RowExtension(shift=settings.shift, reads_types=settings.reads_types)

    def table_key(self, part: Part) -> Hashable:
        """The shapes, whether there are gates, and whether masks count them."""
        shapes = ((name, tuple(tensor.shape)) for name, tensor in sorted(part.tensors.items()))
        return _settings(part).is_counted, *shapes

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> PrefixTable:
        """An empty table for Parts with this Part's key."""
        return PrefixTable(part, device, dtype)

    def prefixes(self, part: Part, x: Tensor, rows: RowSpans) -> Sequence[Prefix]:
        """Reference of `PrefixTable.prefixes` for one segment."""
        tensors = {name: tensor.to(x) for name, tensor in part.tensors.items()}
        is_counted = _settings(part).is_counted
        found = _prefixes([(tensors["keys"], tensors["values"])] * len(rows), is_counted)
        if "gate_weight" not in tensors:
            return found
        scores = nn.functional.linear(x, tensors["gate_weight"], tensors["gate_bias"])
        return _gated(found, rows, scores)


def _settings(part: Part) -> PrefixSettings:
    assert isinstance(part.settings, PrefixSettings), "Foreign settings. This is a bug."
    return part.settings


def _prefixes(pairs: Sequence[tuple[Tensor, Tensor]], is_counted: bool) -> Sequence[Prefix]:
    return [CountedPrefix(*pair) for pair in pairs] if is_counted else pairs


def _gated(prefixes: Sequence[Prefix], rows: RowSpans, scores: Tensor) -> Sequence[Prefix]:
    """The prefixes times their rows' gates, the first for keys and the last for values.

    Shape: scores of `[tokens, 1 or 2]`.
    """
    gates = rows.mean(scores.float().sigmoid()).to(scores.dtype)
    gated = [
        (keys * gate[0], values * gate[-1])
        for (keys, values), gate in zip(prefixes, gates, strict=True)
    ]
    return _prefixes(gated, isinstance(prefixes[0], CountedPrefix))
