"""Small numbers that a forward reads on the device, brought there without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from adapter_runtime.backbone.routing import RowSpans


def to_device(values: Tensor, device: torch.device | None) -> Tensor:
    """A tensor of the host on a device; the caller does not wait for what the device still does.

    Args:
        values: in host memory.
        device: None stays on the host.
    """
    if device is None or device.type == "cpu":
        return values
    if device.type != "cuda":
        return values.to(device)
    # A copy from pageable memory waits until all work before it is done.
    return values.pin_memory().to(device, non_blocking=True)


def write(target: Tensor, values: Tensor) -> None:
    """Write a tensor of the host into one on a device; the caller does not wait for it.

    Args:
        target: on any device.
        values: in host memory, of the same shape.
    """
    locked = values.pin_memory() if target.device.type == "cuda" else values
    target.copy_(locked, non_blocking=True)


def from_host(
    values: Sequence[int] | Sequence[Sequence[int]],
    device: torch.device | None,
    dtype: torch.dtype = torch.int64,
) -> Tensor:
    """Numbers as a tensor on a device, without waiting for it.

    Args:
        values: of one shape.
        device: None stays on the host.
        dtype: of whole numbers.
    """
    return to_device(torch.tensor(values, dtype=dtype), device)


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
