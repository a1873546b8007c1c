"""AdapterFusion: an attention over what several adapters add, token by token.

Source: Pfeiffer et al. 2021 (https://arxiv.org/abs/2005.00247); class `BertFusion` of the
`adapters` library.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.methods.base import CommonMethod, Entry
from adapter_runtime.methods.products import grouped_down, grouped_up
from adapter_runtime.methods.stacks import StackedParts, StackedTable
from adapter_runtime.types import Part

PROJECTIONS = ("query", "key", "value")


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """The flags of one fusion layer.

    Args:
        has_query, has_key, has_value: the projections that there are.
        query_before_ln: the query is the state before the backbone's residual and norm.
        residual_before: the residual joins keys and values before the attention, not after it.
        temperature: divides the scores.
    """

    has_query: bool = True
    has_key: bool = True
    has_value: bool = True
    query_before_ln: bool = False
    residual_before: bool = False
    temperature: float = 1.0

    @property
    def projections(self) -> tuple[str, ...]:
        """The names of the projections that there are."""
        flags = (self.has_query, self.has_key, self.has_value)
        return tuple(name for name, has in zip(PROJECTIONS, flags, strict=True) if has)


def _settings(part: Part) -> FusionSettings:
    assert isinstance(part.settings, FusionSettings), "Foreign settings. This is a bug."
    return part.settings


def _values(settings: FusionSettings, ups: Sequence[Tensor], residual: Tensor) -> list[Tensor]:
    return [up + residual for up in ups] if settings.residual_before else list(ups)


def _attend(
    settings: FusionSettings, query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]
) -> Tensor:
    """The values' mixture for each token. Shape: `[tokens, width]` each."""
    scores = torch.stack([(query * key).sum(-1) for key in keys], -1)
    # A softmax over scores of tens needs more digits than bfloat16 has.
    shares = (scores.float() / settings.temperature).softmax(-1).to(query.dtype)
    mixed = shares[:, :1] * values[0]
    for number, value in enumerate(values[1:], 1):
        mixed = mixed + shares[:, number : number + 1] * value
    return mixed


class FusionTable(StackedParts):
    """Stacked projections of fusion layers with equal flags."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        self._settings = _settings(part)
        # It adds the same to the scores of all children, which the softmax does not see.
        names = part.tensors.keys() - {"key_bias"}
        shapes = {name: tuple(part.tensors[name].shape) for name in sorted(names)}
        apart = [f"{name}_weight" for name in PROJECTIONS]
        self._stacks = StackedTable(shapes, device, dtype, apart=apart)

    def mix(self, groups: Groups, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """What the children add, mixed, with the residual. Shape: `[tokens, width]` each.

        `q · K v` is `Kᵀ q · v`: one product with the keys' matrix serves all children.
        """
        settings = self._settings
        query = self._project(groups, "query", self._query(entry))
        if settings.has_key:
            query = grouped_up(groups, query, self._stacks.rows("key_weight"))
        values = _values(settings, ups, entry.residual)
        mixed = self._project(groups, "value", _attend(settings, query, values, values))
        return mixed if settings.residual_before else mixed + entry.residual

    def _query(self, entry: Entry) -> Tensor:
        return entry.before if self._settings.query_before_ln else entry.z

    def _project(self, groups: Groups, name: str, x: Tensor) -> Tensor:
        if name not in self._settings.projections:
            return x
        projected = grouped_down(groups, x, self._stacks.rows(f"{name}_weight"))
        if f"{name}_bias" in self._stacks:
            projected = projected + groups.per_token(self._stacks[f"{name}_bias"])
        return projected


class Fusion(CommonMethod):
    """Mixes the up-projections u of several adapters: `Σ softmax(q(z)·k(u) / T) v(u) + residual`.

    Tensors, each where its projection exists: `query_weight`, `key_weight`, `value_weight`
    `[d, d]`, `query_bias`, `key_bias` `[d]`. A fusion layer is an adapter of its own whose Parts
    stand at sublayer points; it enters and finishes by the last adapter that it mixes. The value
    projection has no bias, so it may as well come after the softmax.
    """

    name = "fusion"

    def table_key(self, part: Part) -> Hashable:
        """Flags and width."""
        widths = [tensor.shape[-1] for tensor in part.tensors.values()]
        return _settings(part), max(widths, default=0)

    def new_table(
        self, part: Part, base: nn.Module | None, device: torch.device, dtype: torch.dtype
    ) -> FusionTable:
        """An empty table for Parts with this Part's key."""
        return FusionTable(part, device, dtype)

    def mix(self, part: Part, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """Reference of `FusionTable.mix` for one segment; differentiable."""
        settings, tensors = _settings(part), part.tensors

        def project(name: str, x: Tensor) -> Tensor:
            """The states through one projection, where the layer has it."""
            if name not in settings.projections:
                return x
            bias = tensors.get(f"{name}_bias")
            return functional.linear(
                x, tensors[f"{name}_weight"].to(x), None if bias is None else bias.to(x)
            )

        query = project("query", entry.before if settings.query_before_ln else entry.z)
        values = _values(settings, ups, entry.residual)
        keys = [project("key", value) for value in values]
        mixed = project("value", _attend(settings, query, keys, values))
        return mixed if settings.residual_before else mixed + entry.residual
