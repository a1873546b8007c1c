"""How an adapter's weights lie in host memory: in one block, each as device tables read it.

On a CPU these tables then share the block. Elsewhere it is copied as well as any other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from adapter_runtime.residency.tables import Methods
from adapter_runtime.residency.uploads import block, fill, fits
from adapter_runtime.types import Adapter


class _Place(NamedTuple):
    """One tensor's, in numbers from its Part's first one."""

    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Layout(NamedTuple):
    """How a Part's tensors lie; equal for Parts of equal shapes, which share it."""

    places: Mapping[str, _Place]
    length: int
    num_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Lying(Mapping[str, Tensor]):
    """A Part's tensors in a block: views that are made when asked, for the objects of hundreds of
    small adapters take memory too.

    Args:
        flat: the block of the whole adapter.
        start: the Part's first number in it.
        layout: of its tensors from there on.
    """

    flat: Tensor
    start: int
    layout: _Layout

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensors."""
        return self.layout.num_bytes

    def __getitem__(self, name: str) -> Tensor:
        place = self.layout.places[name]
        return self.flat.as_strided(place.shape, place.strides, self.start + place.start)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.places)

    def __len__(self) -> int:
        return len(self.layout.places)


def laid_out(adapter: Adapter, methods: Methods) -> Adapter:
    """The same adapter with its weights where they should lie.

    Args:
        adapter: as it was read; too large for one block, it gets one for each tensor.
        methods: the method table.
    """
    # Weights outlive the thread that reads them, so they are no inference tensors.
    with torch.inference_mode(False), torch.no_grad():
        tensors = [
            tensor.t() if name in methods[part.method].transposed else tensor
            for part in adapter.parts
            for name, tensor in part.tensors.items()
        ]
        found = _in_block(adapter, tensors, methods) if fits(tensors) else _apart(adapter, methods)
    pairs = zip(adapter.parts, found, strict=True)
    return replace(
        adapter,
        parts=tuple(
            replace(part, settings=_same(part.settings), tensors=each) for part, each in pairs
        ),
    )


@lru_cache(maxsize=1024)
def _same(settings: Hashable) -> Hashable:
    """One object for all settings that are equal."""
    return settings


def _apart(adapter: Adapter, methods: Methods) -> list[Mapping[str, Tensor]]:
    return [
        {
            name: tensor.t().contiguous().t()
            if name in methods[part.method].transposed
            else tensor.contiguous()
            for name, tensor in part.tensors.items()
        }
        for part in adapter.parts
    ]


def _in_block(
    adapter: Adapter, tensors: Sequence[Tensor], methods: Methods
) -> list[Mapping[str, Tensor]]:
    flat = torch.empty(block(tensors))
    fill(flat, tensors)
    found: list[Mapping[str, Tensor]] = []
    start = 0
    for part in adapter.parts:
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in part.tensors.items())
        layout = _layout(shapes, tuple(methods[part.method].transposed))
        found.append(Lying(flat, start, layout))
        start += layout.length
    return found


@lru_cache(maxsize=4096)
def _layout(
    shapes: tuple[tuple[str, tuple[int, ...]], ...], transposed: tuple[str, ...]
) -> _Layout:
    places, start, count = {}, 0, 0
    for name, shape in shapes:
        empty = torch.empty(shape[::-1] if name in transposed else shape, device="meta")
        strides = empty.t().stride() if name in transposed else empty.stride()
        places[name] = _Place(start, shape, tuple(strides))
        start += block([empty])
        count += empty.numel()
    return _Layout(places, start, count * torch.float32.itemsize)
