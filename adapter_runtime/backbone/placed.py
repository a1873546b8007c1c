"""Small numbers that a forward reads on the device, brought there without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
