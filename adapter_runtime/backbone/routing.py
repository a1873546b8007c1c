"""What layers read during one forward: rows, segments, and the work at each plug point."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.placed import from_host
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sites import PlugPoint


class Layout(StrEnum):
    """How rows lie in the token stream."""

    PACKED = "packed"
    PADDED = "padded"


class Groups:
    """Consecutive segments of a stream that share one device table: one table row per segment.

    Args:
        start, stop: the token span in the whole stream.
        table_rows: the table's row for each segment; 0 is the identity.
        ends: each segment's last token + 1, relative to `start`.
        spans: the rows inside the span, relative to `start`.
        device: where index tensors are made.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        table_rows: Sequence[int],
        ends: Sequence[int],
        spans: RowSpans,
        device: torch.device | None = None,
    ) -> None:
        self.start, self.stop = start, stop
        self.table_rows = tuple(table_rows)
        self.ends = tuple(ends)
        self.spans = spans
        self.device = device

    def __len__(self) -> int:
        return len(self.table_rows)

    @cached_property
    def row_index(self) -> Tensor:
        """The table rows. Shape: `[groups]`, int64."""
        return from_host(self.table_rows, self.device)

    @cached_property
    def offsets(self) -> Tensor:
        """The segment ends as `grouped_mm` takes them. Shape: `[groups]`, int32."""
        return from_host(self.ends, self.device, torch.int32)

    @cached_property
    def sizes(self) -> list[int]:
        """Tokens of each segment."""
        return [stop - start for start, stop in pairwise((0, *self.ends))]

    @cached_property
    def token_table_rows(self) -> Tensor:
        """The table row of each token. Shape: `[stop - start]`, int64."""
        # The size is told, because CUDA would wait to count.
        return torch.repeat_interleave(
            self.row_index, from_host(self.sizes, self.device), output_size=self.ends[-1]
        )

    @cached_property
    def row_table_rows(self) -> tuple[int, ...]:
        """The table row of each row of the spans."""
        groups = (bisect_right(self.ends, start) for start in self.spans.starts)
        return tuple(self.table_rows[group] for group in groups)

    def select(self, stacked: Tensor) -> Tensor:
        """The table rows of a stacked tensor: a view where they are consecutive, else a copy.

        Shape: `[table, ...]` to `[groups, ...]`.
        """
        first = self.table_rows[0]
        if self.table_rows == tuple(range(first, first + len(self))):
            return stacked[first : first + len(self)]
        return stacked.index_select(0, self.row_index)

    def per_token(self, stacked: Tensor) -> Tensor:
        """A stacked tensor's row for each token; broadcasts one row when there is one segment.

        Shape: `[table, ...]` to `[stop - start, ...]` or `[1, ...]`.
        """
        if len(self) == 1:
            return stacked[self.table_rows[0] : self.table_rows[0] + 1]
        return stacked.index_select(0, self.token_table_rows)


class ModuleWork(Protocol):
    """The work at a point that wraps one module (a linear, a LayerNorm)."""

    def __call__(self, base: nn.Module, x: Tensor) -> Tensor:
        """The module's output with every active Part applied.

        Shape: `[tokens, in]` to `[tokens, out]`.
        """
        ...


class SublayerWork(Protocol):
    """The work at the end of an attention or feed-forward sublayer."""

    def __call__(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """The sublayer's final output, residual and norm included.

        Shape: `[tokens, width]` each.
        """
        ...


Prefix = tuple[Tensor, Tensor]
"""Keys and values that are put before a row's own. Shape: `[heads, length, width]` each."""


class CountedPrefix(NamedTuple):
    """A prefix that the library's causal mask counts as the row's first tokens.

    Token `i` then sees the first `i + 1` of prefix and row together, and no prefix at all where
    the mask is written out: what `adapters` computes on causal models through SDPA.
    """

    keys: Tensor
    values: Tensor


class AttentionWork(Protocol):
    """The work at a point where keys and values are put before each row's own."""

    def __call__(self, x: Tensor) -> Sequence[Prefix | None]:
        """One prefix for each row of the stream, None for rows without.

        Shape: the attention module's input, `[tokens, width]`.
        """
        ...


Work = Mapping[PlugPoint, ModuleWork | SublayerWork | AttentionWork]


class Beside(Protocol):
    """Takes a stream's adapters to vectors that every row has beside its tokens."""

    def __call__(self, length: int) -> tuple[Work, Sequence[int]]:
        """Work over one row of `length` vectors for each of the stream's compositions.

        Returns:
            The work, and for each row of the stream the number of its composition.
        """
        ...


@dataclass(frozen=True)
class Routing:
    """One forward's rows and the work at each active point; no work is the bare backbone.

    Args:
        layout: how the rows lie.
        spans: where they lie.
        work: what is done at each point.
        beside: for models whose layers also read vectors that are no tokens.
        fork: where the stream becomes another one; None where it stays.
    """

    layout: Layout
    spans: RowSpans
    work: Work
    beside: Beside | None = None
    fork: Fork | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Where rows join a stream that have been the same as others of it so far.

    Args:
        layer: before which.
        tokens: of each token of the new stream, which token of the old one it was, on the device.
        routing: of the new stream.
    """

    layer: int
    tokens: Tensor
    routing: Routing


def work_at(scope: RouteScope, point: PlugPoint) -> object | None:
    """What the open Routing of this thread does at a point."""
    routing = scope.current
    return None if routing is None else routing.work.get(point)


class RouteScope:
    """Holds the Routing of the forward that runs on this thread; belongs to one backbone.

    Streams on different threads each see their own; a Routing is never nested.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def current(self) -> Routing | None:
        """The open Routing of this thread."""
        routing: Routing | None = getattr(self._local, "routing", None)
        return routing

    def go_on(self, routing: Routing) -> None:
        """Have the forward that runs go on as another stream."""
        self._local.routing = routing

    @contextmanager
    def open(self, routing: Routing) -> Iterator[None]:
        """Make a Routing current for the block, on this thread only."""
        assert self.current is None, "A Routing is already open on this thread. This is a bug."
        self._local.routing = routing
        try:
            yield
        finally:
            self._local.routing = None
