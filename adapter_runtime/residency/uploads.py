"""Weights on their way to a CUDA device, beside the batches that run there.

From pageable memory a copy waits for all work before it. So weights go through page-locked memory
over a stream of their own, and only the thread that uploads them waits until they have landed.
What it then writes into the tables stands in the stream of the forwards, before the first of them
that reads it and behind the last that read what was there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from adapter_runtime.types import Adapter

_MAX_LOCKED = 64 << 20
"""Bytes of page-locked memory at most: torch keeps it, and the system has no other use for it."""
_STEP = 64
"""Tensors start at multiples of this many numbers, which suits every product."""

Weights = Mapping[str, Tensor]


def bring(weights: Sequence[Weights], device: torch.device) -> Sequence[Weights]:
    """Weights on the device in one copy; unchanged where that is no way to go faster. Blocks.

    Args:
        weights: of one adapter or head, in host memory.
        device: where to.
    """
    tensors = [tensor for each in weights for tensor in each.values()]
    if device.type != "cuda" or not fits(tensors):
        return weights
    found = iter(_uploaded(tensors, device))
    return [{name: next(found) for name in each} for each in weights]


def brought(adapter: Adapter, device: torch.device) -> Adapter:
    """An adapter whose Parts lie on the device, to be written into tables. Blocks."""
    if device.type != "cuda":
        return adapter
    found = bring([part.tensors for part in adapter.parts], device)
    pairs = zip(adapter.parts, found, strict=True)
    return replace(adapter, parts=tuple(replace(part, tensors=each) for part, each in pairs))


def fits(tensors: Sequence[Tensor]) -> bool:
    """Whether tensors are float32 and few enough for page-locked memory."""
    num_bytes = block(tensors) * torch.float32.itemsize
    is_plain = all(tensor.dtype == torch.float32 for tensor in tensors)
    return is_plain and 0 < num_bytes <= _MAX_LOCKED


def block(tensors: Sequence[Tensor]) -> int:
    """Numbers that tensors take one after another."""
    return sum(_sizes(tensors))


def _sizes(tensors: Sequence[Tensor]) -> list[int]:
    return [-(-tensor.numel() // _STEP) * _STEP for tensor in tensors]


def fill(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Write tensors one after another."""
    for place, tensor in zip(pieces(flat, tensors), tensors, strict=True):
        place.copy_(tensor)


def pieces(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The places of tensors that lie one after another, each in its shape."""
    places = flat.split_with_sizes(_sizes(tensors))
    return [
        place[: tensor.numel()].view(tensor.shape)
        for place, tensor in zip(places, tensors, strict=True)
    ]


def _uploaded(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    locked = torch.empty(block(tensors), pin_memory=True)
    fill(locked, tensors)
    with torch.cuda.stream(_copies(device)):
        landed = locked.to(device, non_blocking=True)
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record()
    # It is made on one stream and read on another: its memory is free when both have done.
    landed.record_stream(torch.cuda.current_stream(device))
    done.synchronize()
    return pieces(landed, tensors)


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    """The stream of a device's uploads."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
