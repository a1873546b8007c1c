"""Vectors of relative positions beside the tokens, and which of them stands between two tokens.

They are no tokens, yet adapters change what becomes of them: where a model shares its linears
between tokens and positions, every composition of a stream has vectors of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from adapter_runtime.backbone.points import RoutedModule
from adapter_runtime.backbone.routing import ModuleWork, Routing, Work
from adapter_runtime.sites import Site

_OWN_SITES = frozenset({Site.RELATIVE_KEY, Site.RELATIVE_QUERY, Site.RELATIVE_NORM})
_SHARED_SITES = _OWN_SITES | {Site.QUERY, Site.KEY}


class RelativeTable:
    """The vectors of a model.

    Args:
        encoder: the Hugging Face module that owns them.
        is_shared: they go through the linears of queries and keys.
    """

    def __init__(self, encoder: Any, is_shared: bool) -> None:
        self._most: int = encoder.max_relative_positions
        self._buckets: int = getattr(encoder, "position_buckets", -1)
        self.span = self._buckets if self._buckets > 0 else self._most
        self.vectors: Tensor = encoder.rel_embeddings.weight[: 2 * self.span]
        self._norm: RoutedModule | None = getattr(encoder, "LayerNorm", None)
        self._sites = _SHARED_SITES if is_shared else _OWN_SITES
        self._places: tuple[Tensor, Tensor] | None = None

    def of(self, routing: Routing) -> Relative:
        """The vectors as a stream's layers read them."""
        work, numbers = None, [0] * len(routing.spans)
        if routing.beside is not None and any(point.site in self._sites for point in routing.work):
            work, found = routing.beside(len(self.vectors))
            numbers = list(found)
        vectors = self.vectors.expand(1 + max(numbers), -1, -1)
        relative = Relative(self, vectors, numbers, work)
        if self._norm is None:
            return relative
        return Relative(self, relative.through(self._norm), numbers, work)

    def places(self, length: int) -> tuple[Tensor, Tensor]:
        """The vector between query and key, and between key and query. Shape: `[length, length]`.

        They are kept for rows up to the longest seen.
        """
        known = self._places
        if known is None or len(known[0]) < length:
            with torch.inference_mode(False):
                known = self._places = self._made(length)
        return known[0][:length, :length], known[1][:length, :length]

    def _made(self, length: int) -> tuple[Tensor, Tensor]:
        places = torch.arange(length, device=self.vectors.device)
        relative = places.unsqueeze(1) - places
        if self._buckets > 0:
            relative = make_log_bucket_position(relative, self._buckets, self._most).long()
        last = 2 * self.span - 1
        return (relative + self.span).clamp(0, last), (self.span - relative).clamp(0, last)


@dataclass(frozen=True, slots=True)
class Relative:
    """The vectors of one stream.

    Args:
        table: where they come from.
        vectors: once, or once for each composition. Shape: `[tables, vectors, width]`.
        numbers: for each row the number of its table.
        work: what the stream's adapters do with them; None where nothing.
    """

    table: RelativeTable
    vectors: Tensor
    numbers: Sequence[int]
    work: Work | None

    def through(self, module: RoutedModule) -> Tensor:
        """A module's output for the vectors. Shape: `[tables, vectors, out]`."""
        work = None if self.work is None else self.work.get(module.point)
        if work is None:
            return cast(Tensor, module.base(self.vectors))
        states = cast(ModuleWork, work)(module.base, self.vectors.flatten(0, 1))
        return states.view(*self.vectors.shape[:2], -1)

    def scores(
        self, row: int, q: Tensor, k: Tensor, keys: Tensor | None, queries: Tensor | None
    ) -> Tensor:
        """What relative positions add to the unscaled scores of a row.

        Args:
            row: its number in the stream.
            q, k: its queries and keys. Shape: `[heads, tokens, size]` each.
            keys, queries: those of the vectors. Shape: `[tables, heads, vectors, size]` each.

        Shape: `[heads, tokens, tokens]`, or one zero where positions count for nothing.
        """
        shape = (len(q), q.shape[1], q.shape[1])
        forward, backward = self.table.places(q.shape[1])
        number, found = self.numbers[row], q.new_zeros(1)
        if keys is not None:
            to_positions = q @ keys[number].transpose(1, 2)
            found = found + to_positions.gather(2, forward.expand(shape))
        if queries is not None:
            from_positions = k @ queries[number].transpose(1, 2)
            found = found + from_positions.gather(2, backward.expand(shape)).transpose(1, 2)
        return found
