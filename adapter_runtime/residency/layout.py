"""How an adapter's weights lie in host memory: in one block, each as device tables read it.

On a CPU these tables then share the block. Elsewhere it is copied as well as any other.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from adapter_runtime.residency.tables import Methods
from adapter_runtime.residency.uploads import block, fill, fits, pieces
from adapter_runtime.types import Adapter


def laid_out(adapter: Adapter, methods: Methods) -> Adapter:
    """The same adapter with its weights where they should lie.

    Args:
        adapter: as it was read; too large for one block, it gets one for each tensor.
        methods: the method table.
    """
    places = [
        (number, name, name in methods[part.method].transposed)
        for number, part in enumerate(adapter.parts)
        for name in part.tensors
    ]
    own = [adapter.parts[number].tensors[name] for number, name, _ in places]
    # Weights outlive the thread that reads them, so they are no inference tensors.
    with torch.inference_mode(False), torch.no_grad():
        read = [
            tensor.t() if turned else tensor
            for tensor, (*_, turned) in zip(own, places, strict=True)
        ]
        lying = _in_block(read) if fits(read) else [tensor.contiguous() for tensor in read]
        tensors: list[dict[str, Tensor]] = [{} for _ in adapter.parts]
        for tensor, (number, name, turned) in zip(lying, places, strict=True):
            tensors[number][name] = tensor.t() if turned else tensor
    pairs = zip(adapter.parts, tensors, strict=True)
    return replace(adapter, parts=tuple(replace(part, tensors=each) for part, each in pairs))


def _in_block(tensors: list[Tensor]) -> list[Tensor]:
    flat = torch.empty(block(tensors))
    fill(flat, tensors)
    return pieces(flat, tensors)
