"""Single vectors of an embedding table that a checkpoint trained anew.

Source: PEFT's `trainable_token_indices` and its type `TRAINABLE_TOKENS`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.stacks import StackedModuleParts, StackedTable, bucket, embedding_scale
from adapter_runtime.types import Part

_NOBODY = -1.0
"""No token has this id."""


@dataclass(frozen=True, slots=True)
class TokenRowsSettings:
    """Which tokens have new vectors.

    Args:
        ids: their ids, without repetition.
    """

    ids: tuple[int, ...]


def _settings(part: Part) -> TokenRowsSettings:
    assert isinstance(part.settings, TokenRowsSettings), "Foreign settings. This is a bug."
    return part.settings


class TokenRowsTable(StackedModuleParts):
    """Stacked ids and vectors, their number padded to a bucket."""

    def __init__(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._base = base
        count, width = part.tensors["vectors"].shape
        self._count, self._width = bucket(count), width
        # Ids must be exact, whatever the dtype of the weights is.
        self._ids = StackedTable({"ids": (self._count,)}, device, torch.float64, {"ids": _NOBODY})
        self._stacks = StackedTable({"vectors": (self._count, width)}, device, dtype)

    @property
    def num_bytes(self) -> int:
        """Bytes on the device, free rows included."""
        return self._ids.num_bytes + self._stacks.num_bytes

    def put(self, row: int, part: Part) -> None:
        """Write a Part's ids and vectors into a row."""
        self._stacks.write(row, {"vectors": part.tensors["vectors"] * embedding_scale(self._base)})
        self._ids.write(row, {"ids": torch.tensor(_settings(part).ids, dtype=torch.float64)})

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """New vectors and zeros elsewhere, beside a mark of the former; the last link wins."""
        is_hit = groups.per_token(self._ids["ids"]) == x.unsqueeze(1)
        place = groups.token_table_rows * self._count + is_hit.int().argmax(1)
        vectors = self._stacks["vectors"].view(-1, self._width).index_select(0, place)
        return _marked(is_hit.any(1, keepdim=True), vectors, hidden)

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The vectors, new where there are new ones."""
        return torch.where(hidden[:, -1:].bool(), hidden[:, :-1].to(y), y)


def _marked(is_new: Tensor, vectors: Tensor, hidden: Tensor | None) -> Tensor:
    found = torch.cat((vectors, is_new.to(vectors)), 1) * is_new
    return found if hidden is None else torch.where(is_new, found, hidden)


class TokenRows(CommonMethod):
    """Other vectors for a few tokens. Tensors: `vectors` `[ids, width]`."""

    name = "token_rows"
    chain = "token_rows"

    def table_key(self, part: Part) -> Hashable:
        """The number's bucket and the width."""
        count, width = part.tensors["vectors"].shape
        return bucket(count), width

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> TokenRowsTable:
        """An empty table for Parts with this Part's key."""
        return TokenRowsTable(part, base, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """New vectors beside a mark. Shape: `[tokens]` to `[tokens, width + 1]`."""
        ids = torch.tensor(_settings(part).ids, device=x.device)
        is_hit = x.unsqueeze(1) == ids
        vectors = part.tensors["vectors"].to(x.device)[is_hit.int().argmax(1)]
        return _marked(is_hit.any(1, keepdim=True), vectors, hidden)

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The vectors, new where there are new ones."""
        new = hidden[:, :-1].to(y) * embedding_scale(base)
        return torch.where(hidden[:, -1:].bool(), new, y)
