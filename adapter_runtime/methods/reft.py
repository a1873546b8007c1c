"""ReFT: low-rank edits of the states of a row's first and last tokens, after a layer.

Source: Wu et al. 2024 (https://arxiv.org/abs/2404.03592), as the `adapters` library writes it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.placed import from_host
from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.products import add_grouped_up, grouped_down
from adapter_runtime.methods.stacks import (
    StackedModuleParts,
    StackedTable,
    activation,
    bucket,
    factor_dtype,
)
from adapter_runtime.types import Part

Places = tuple[tuple[int, int], ...]
"""Which token is edited, and where the result goes."""


@dataclass(frozen=True, slots=True)
class ReftSettings:
    """Where and how states are edited.

    Args:
        prefix_positions, suffix_positions: tokens at both ends of a row; shorter rows have fewer.
        activation: lower-cased name, as transformers knows it; None is linear.
        subtracts: the states' own projection is taken away (LoReFT, NoReFT), else not (DiReFT).
        num_uncounted: virtual tokens of the same adapter, by which the library takes a row for
            shorter than it is when it looks for its end.
    """

    prefix_positions: int
    suffix_positions: int
    activation: str | None = None
    subtracts: bool = True
    num_uncounted: int = 0


def _settings(part: Part) -> ReftSettings:
    assert isinstance(part.settings, ReftSettings), "A ReFT Part has ReftSettings. This is a bug."
    return part.settings


@lru_cache(maxsize=256)
def edited(
    starts: Sequence[int],
    lengths: Sequence[int],
    prefix: int,
    suffix: int,
    num_uncounted: int = 0,
) -> tuple[Places, Places]:
    """The tokens that the two units edit, row after row, and where the results go.

    Where both ends meet the suffix wins. In a row with fewer tokens than the suffix, the results
    of both ends are laid out from the row's first token on, as in the library.

    Args:
        starts, lengths: of the rows.
        prefix, suffix: positions at a row's ends.
        num_uncounted: tokens by which a row's end lies before its last.
    """
    units: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for start, length in zip(starts, lengths, strict=True):
        first, last = min(prefix, length), min(suffix, length)
        tail = max(start, start + length - num_uncounted - last)
        ends = range(tail, tail + last)
        sources = [(0, start + place) for place in range(first)]
        sources += [(1, place) for place in ends]
        units[0].extend((place, place) for _, place in sources[:first] if place not in ends)
        laid_out = sources[max(0, first + last - suffix) :] if suffix else []
        for place, (unit, source) in zip(ends, laid_out, strict=False):
            units[unit].append((source, place))
    return tuple(units[0]), tuple(units[1])


class ReftTable(StackedModuleParts):
    """Stacked units, rank padded to a bucket."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        self._settings = _settings(part)
        self._activation = _activation(self._settings)
        rank, width = part.tensors["projection_0"].shape
        wide = (bucket(rank), width)
        shapes: dict[str, tuple[int, ...]] = {}
        for unit in _units(part):
            shapes |= {f"{name}_{unit}": wide for name in ("source_weight", "projection")}
        apart = tuple(shapes)
        shapes |= {f"source_bias_{unit}": (bucket(rank),) for unit in _units(part)}
        self._last = _units(part)[-1]
        self._stacks = StackedTable(shapes, device, factor_dtype(device, dtype), apart=apart)

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The edited states, those of the first unit before those of the second."""
        return torch.cat(
            [
                self._edit(groups, x, places, min(unit, self._last))
                for unit, places in enumerate(self._places(groups))
            ]
        )

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The states with the edited ones in their places; writes into y."""
        targets = [target for places in self._places(groups) for _, target in places]
        return y.index_copy_(0, from_host(targets, y.device), hidden)

    def _places(self, groups: Groups) -> tuple[Places, Places]:
        spans, settings = groups.spans, self._settings
        return edited(spans.starts, spans.lengths, *_ends(settings))

    def _edit(self, groups: Groups, x: Tensor, places: Places, unit: int) -> Tensor:
        if not places:
            return x[:0]
        sources = [source for source, _ in places]
        states = x.index_select(0, from_host(sources, x.device))
        ends = [bisect_right(sources, end - 1) for end in groups.ends]
        chosen = Groups(0, len(sources), groups.table_rows, ends, groups.spans, groups.device)
        stacks = self._stacks
        source = grouped_down(chosen, states, stacks.rows(f"source_weight_{unit}"))
        source += chosen.per_token(stacks[f"source_bias_{unit}"])
        source = self._activation(source)
        if self._settings.subtracts:
            source = source - grouped_down(chosen, states, stacks.rows(f"projection_{unit}"))
        return add_grouped_up(chosen, states, source, stacks.rows(f"projection_{unit}"))


class Reft(CommonMethod):
    """`h + R^T (act(W h + b) - R h)` for the first and the last tokens of a row.

    Tensors, for unit 0 (and 1, where the suffix has weights of its own): `source_weight_0`
    `[r, width]`, `source_bias_0` `[r]`, `projection_0` `[r, width]`.
    """

    name = "reft"
    chain = "reft"
    first_only = True

    def table_key(self, part: Part) -> Hashable:
        """Settings, units, rank bucket and width."""
        rank, width = part.tensors["projection_0"].shape
        return part.settings, _units(part), bucket(rank), width

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> ReftTable:
        """An empty table for Parts with this Part's key."""
        return ReftTable(part, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The states after the edits. Shape: `[tokens, width]` to the same."""
        settings, changed = _settings(part), x.clone()
        for unit, places in enumerate(edited(rows.starts, rows.lengths, *_ends(settings))):
            for source, target in places:
                changed[target] = _edited(part, x[source], min(unit, _units(part)[-1]))
        return changed

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The states after the edits."""
        return hidden


def _ends(settings: ReftSettings) -> tuple[int, int, int]:
    return settings.prefix_positions, settings.suffix_positions, settings.num_uncounted


def _units(part: Part) -> tuple[int, ...]:
    return (0, 1) if "projection_1" in part.tensors else (0,)


def _activation(settings: ReftSettings) -> nn.Module:
    return nn.Identity() if settings.activation is None else activation(settings.activation)


def _edited(part: Part, state: Tensor, unit: int) -> Tensor:
    settings = _settings(part)
    names = ("source_weight", "source_bias", "projection")
    weight, bias, projection = (part.tensors[f"{name}_{unit}"].to(state) for name in names)
    source: Tensor = _activation(settings)(weight @ state + bias)
    if settings.subtracts:
        source = source - projection @ state
    return state + source @ projection
