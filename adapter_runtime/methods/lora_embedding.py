"""LoRA and DoRA on an embedding table, as PEFT means them.

Source: Hu et al. 2021 (https://arxiv.org/abs/2106.09685); Liu et al. 2024
(https://arxiv.org/abs/2402.09353); `lora.Embedding` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.products import grouped_up
from adapter_runtime.methods.stacks import StackedModuleParts, StackedTable, bucket, embedding_scale
from adapter_runtime.types import Part


@dataclass(frozen=True, slots=True)
class LoraEmbeddingSettings:
    """How a low-rank change of a table is scaled.

    Args:
        scale: the factor of the product.
        has_magnitude: each feature is rescaled to a trained length (DoRA).
    """

    scale: float
    has_magnitude: bool = False


def _settings(part: Part) -> LoraEmbeddingSettings:
    assert isinstance(part.settings, LoraEmbeddingSettings), "Foreign settings. This is a bug."
    return part.settings


def _gain(part: Part, base: nn.Module) -> Tensor:
    """DoRA's factor of each feature: its trained length over that of the changed table's column."""
    weight, tensors = base.weight, part.tensors
    assert isinstance(weight, Tensor), "An embedding has a weight. This is a bug."
    delta = tensors["down"].t() @ tensors["up"].t() * _settings(part).scale
    norm: Tensor = torch.linalg.vector_norm(weight.detach().to(delta) + delta, dim=0)
    return tensors["magnitude"] / norm


class LoraEmbeddingTable(StackedModuleParts):
    """Stacked factors, rank padded to a bucket, all scales folded into the up-projection.

    Args:
        part: says the shapes.
        base: the frozen embedding.
        device, dtype: of the stacks.
    """

    def __init__(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._base = base
        rank, self._vocabulary = part.tensors["down"].shape
        width = part.tensors["up"].shape[0]
        self._rank = bucket(rank)
        shapes: dict[str, tuple[int, ...]] = {
            "down": (self._vocabulary, self._rank),
            "up": (self._rank, width),
        }
        if _settings(part).has_magnitude:
            shapes["gain"] = (width,)
        self._stacks = StackedTable(shapes, device, dtype, {"gain": 1.0})

    def put(self, row: int, part: Part) -> None:
        """Write a Part's factors into a row."""
        scale = _settings(part).scale * embedding_scale(self._base)
        values = {"down": part.tensors["down"].t(), "up": part.tensors["up"].t() * scale}
        if "gain" in self._stacks:
            values["gain"] = _gain(part, self._base)
        self._stacks.write(row, values)

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """The change of each token's vector, added to that of the link before."""
        places = x + groups.token_table_rows.to(x) * self._vocabulary
        narrow = self._stacks["down"].view(-1, self._rank).index_select(0, places)
        change = grouped_up(groups, narrow, self._stacks["up"])
        return change if hidden is None else hidden + change

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The changed vectors; writes into y."""
        y.add_(hidden)
        return y.mul_(groups.per_token(self._stacks["gain"])) if "gain" in self._stacks else y


class LoraEmbedding(CommonMethod):
    """`E[ids] + scale * A[:, ids]^T B^T` at an embedding table, with DoRA times a gain.

    Tensors: `down` `[r, vocabulary]`, `up` `[width, r]`, with DoRA `magnitude` `[width]`.
    """

    name = "lora_embedding"
    chain = "lora_embedding"

    def table_key(self, part: Part) -> Hashable:
        """Whether there is a gain, the rank's bucket and the table's shape."""
        rank, vocabulary = part.tensors["down"].shape
        width = part.tensors["up"].shape[0]
        return _settings(part).has_magnitude, bucket(rank), vocabulary, width

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> LoraEmbeddingTable:
        """An empty table for Parts with this Part's key."""
        return LoraEmbeddingTable(part, base, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """The change of each token's vector. Shape: `[tokens]` to `[tokens, width]`."""
        down, up = part.tensors["down"].to(x.device), part.tensors["up"].to(x.device)
        change = down.t()[x] @ up.t() * _settings(part).scale
        return change if hidden is None else hidden + change

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The changed vectors, times the gain where there is one."""
        changed = y + hidden.to(y) * embedding_scale(base)
        return changed * _gain(part, base).to(y) if _settings(part).has_magnitude else changed
