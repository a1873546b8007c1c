"""Where rows lie in a token stream, and what layers read of that on a device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, groupby, pairwise

import torch
from torch import Tensor

from adapter_runtime.backbone.placed import from_host, to_device


class RowSpans:
    """Rows as spans of one token stream `[tokens, width]`.

    In the packed layout rows touch; in the padded layout a row's span ends before the next
    row's start and what lies between is padding, which no answer depends on.

    Args:
        starts: first token of each row.
        lengths: real tokens of each row, at least 1.
        num_tokens: length of the stream, padding included.
    """

    def __init__(self, starts: Sequence[int], lengths: Sequence[int], num_tokens: int) -> None:
        self.starts = tuple(starts)
        self.lengths = tuple(lengths)
        self.num_tokens = num_tokens
        self._placed: dict[torch.device, PlacedSpans] = {}

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest row, or more."""
        return max(self.lengths)

    @cached_property
    def alike(self) -> tuple[tuple[int, int], ...]:
        """Neighbours of one length: that length, and how many they are."""
        runs = groupby(self.lengths)
        return tuple((length, sum(1 for _ in run)) for length, run in runs)

    def slice(self, first: int, stop: int) -> RowSpans:
        """Rows `first:stop` as spans of their own stream, which starts at the first row."""
        origin = self.starts[first]
        end = self.starts[stop] if stop < len(self) else self.num_tokens
        starts = [start - origin for start in self.starts[first:stop]]
        return RowSpans(starts, self.lengths[first:stop], end - origin)

    def on(self, device: torch.device) -> PlacedSpans:
        """What layers read of the rows on a device."""
        if device not in self._placed:
            self._placed[device] = PlacedSpans(self, device)
        return self._placed[device]

    @cached_property
    def token_rows(self) -> Tensor:
        """The row of each token; padding belongs to the row before it. Shape: `[tokens]`."""
        bounds = [*self.starts, self.num_tokens]
        counts = torch.tensor([stop - start for start, stop in pairwise(bounds)])
        num_tokens = self.num_tokens - self.starts[0]
        return torch.repeat_interleave(torch.arange(len(self)), counts, output_size=num_tokens)

    @cached_property
    def real_tokens(self) -> Tensor | None:
        """True for real tokens, or None when there is no padding. Shape: `[tokens]`."""
        if sum(self.lengths) == self.num_tokens:
            return None
        mask = torch.zeros(self.num_tokens, dtype=torch.bool)
        for start, length in zip(self.starts, self.lengths, strict=True):
            mask[start : start + length] = True
        return mask

    def mean(self, values: Tensor) -> Tensor:
        """Mean of per-token values over each row's real tokens.

        Shape: `[tokens, n]` to `[rows, n]`.
        """
        placed = self.on(values.device)
        if placed.real_tokens is not None:
            values = values * placed.real_tokens.unsqueeze(1)
        sums = values.new_zeros(len(self), values.shape[1])
        sums.index_add_(0, placed.token_rows, values)
        return sums / placed.lengths.to(values.dtype).unsqueeze(1)


class PlacedSpans:
    """What a stream's layers read of its rows on one device; each tensor is brought there once.

    Args:
        spans: the rows.
        device: where the tensors are.
    """

    def __init__(self, spans: RowSpans, device: torch.device) -> None:
        self._spans = spans
        self._device = device

    @cached_property
    def token_rows(self) -> Tensor:
        """The row of each token. Shape: `[tokens]`, int64."""
        return to_device(self._spans.token_rows, self._device)

    @cached_property
    def real_tokens(self) -> Tensor | None:
        """True for real tokens, or None when there is no padding. Shape: `[tokens]`."""
        real = self._spans.real_tokens
        return None if real is None else to_device(real, self._device)

    @cached_property
    def starts(self) -> Tensor:
        """The first token of each row. Shape: `[rows]`, int64."""
        return from_host(self._spans.starts, self._device)

    @cached_property
    def lengths(self) -> Tensor:
        """Real tokens of each row. Shape: `[rows]`, int64."""
        return from_host(self._spans.lengths, self._device)

    @cached_property
    def bounds(self) -> Tensor:
        """Where rows end that touch, after a zero. Shape: `[rows + 1]`, int32."""
        return bounds(self._spans.lengths, self._device)


def bounds(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Where sequences end that touch, after a zero. Shape: `[sequences + 1]`, int32."""
    return from_host([0, *accumulate(lengths)], device, torch.int32)
