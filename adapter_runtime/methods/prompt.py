"""Virtual tokens: trained vectors that take the place of token embeddings.

Rows carry placeholders, which an extension puts into them; the vectors replace whatever the
embeddings made of these. At the word embeddings (PEFT) the vectors then get positions, types and
LayerNorm like any token; behind the embedding block (AdapterHub) they get none.

Source: `PromptTuning` of the `adapters` library; PEFT's prompt tuning and P-tuning.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.placed import from_host, to_device
from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.base import CommonMethod
from adapter_runtime.methods.stacks import StackedModuleParts, StackedTable
from adapter_runtime.types import Part, RowExtension, Site


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """Where virtual tokens stand.

    Args:
        place: tokens of the row before them.
        reads_types: the library hands token types on beside them.
    """

    place: int = 0
    reads_types: bool = True


class PromptTable(StackedModuleParts):
    """Stacked vectors of prompts with equal place and length."""

    def __init__(self, part: Part, device: torch.device, dtype: torch.dtype) -> None:
        self._place = _settings(part).place
        shape = tuple(part.tensors["vectors"].shape)
        self._stacks = StackedTable({"vectors": shape}, device, dtype)

    def step(self, groups: Groups, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Each row's vectors. Shape: `[rows, length, width]`."""
        table_rows = from_host(groups.row_table_rows, groups.device)
        return self._stacks["vectors"].index_select(0, table_rows)

    def finish(self, groups: Groups, y: Tensor, hidden: Tensor) -> Tensor:
        """The embeddings with the rows' vectors in their places; writes into y."""
        places = _places(groups.spans, self._place, hidden.shape[1])
        y[to_device(places, y.device)] = hidden
        return y


class Prompt(CommonMethod):
    """Vectors in the place of placeholders. Tensors: `vectors` `[length, embedding]`.

    Only the first adapter of a composition has a say, as in the `adapters` library.
    """

    name = "prompt"
    chain = "prompt"
    first_only = True

    def extension(self, part: Part) -> RowExtension:
        """Placeholders; in front of the position table they have position numbers."""
        settings = _settings(part)
        return RowExtension(
            num_tokens=len(part.tensors["vectors"]),
            place=settings.place,
            takes_positions=part.point.site is Site.WORD_EMBEDDINGS,
            reads_types=settings.reads_types,
        )

    def table_key(self, part: Part) -> Hashable:
        """Place, length and width."""
        return _settings(part).place, tuple(part.tensors["vectors"].shape)

    def new_table(
        self, part: Part, base: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> PromptTable:
        """An empty table for Parts with this Part's key."""
        return PromptTable(part, device, dtype)

    def step(self, part: Part, x: Tensor, hidden: Tensor | None, rows: RowSpans) -> Tensor:
        """Where the vectors belong and zeros elsewhere, beside a mark of the former.

        Shape: `[tokens, …]` to `[tokens, width + 1]`.
        """
        vectors = part.tensors["vectors"].to(x.device)
        marked = torch.cat((vectors, vectors.new_ones(len(vectors), 1)), 1)
        places = _places(rows, _settings(part).place, len(vectors)).flatten().to(x.device)
        found = vectors.new_zeros(len(x), marked.shape[1])
        return found.index_copy(0, places, marked.repeat(len(rows), 1))

    def finish(self, part: Part, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The embeddings with the vectors in their places."""
        vectors, mark = hidden[:, :-1].to(y), hidden[:, -1:].bool()
        return torch.where(mark, vectors, y)


def _places(rows: RowSpans, place: int, length: int) -> Tensor:
    """The tokens of the stream that are placeholders. Shape: `[rows, length]`."""
    return torch.tensor(_firsts(rows, place)).unsqueeze(1) + torch.arange(length)


def _firsts(rows: RowSpans, place: int) -> Sequence[int]:
    return [start + place for start in rows.starts]


def _settings(part: Part) -> PromptSettings:
    assert isinstance(part.settings, PromptSettings), "Foreign settings. This is a bug."
    return part.settings
