"""Each segment times matrices of its own: the products behind the device tables.

A CPU gains nothing from bfloat16 here: oneDNN spends more on preparing one small product than
float32 needs for the whole of it. So the factors are widened first, and what is added to the
stream is rounded once, when it is added.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from adapter_runtime.backbone.cuda import has_grouped_products
from adapter_runtime.backbone.routing import Groups

_ALIGNED_BYTES = 16
_MAX_CUDA_GROUPS = 1024
"""Groups that one grouped product takes on CUDA."""


def grouped_down(groups: Groups, x: Tensor, stacked: Tensor) -> Tensor:
    """Each segment times its own wide-to-narrow matrix.

    These are stored as `nn.Linear` stores them: reading rows along the wide side takes half the
    time of reading them along the narrow one.

    Shape: `[tokens, in]` and `[table, out, in]` to `[tokens, out]`.
    """
    if len(groups) == 1:
        return x.to(stacked.dtype) @ stacked[groups.table_rows[0]].t()
    return _grouped(groups, x, groups.select(stacked), is_transposed=True)


def grouped_up(groups: Groups, x: Tensor, stacked: Tensor) -> Tensor:
    """Each segment times its own narrow-to-wide matrix; may be wider in dtype than the stack.

    Shape: `[tokens, in]` and `[table, in, out]` to `[tokens, out]`.
    """
    if len(groups) == 1:
        return x.to(stacked.dtype) @ stacked[groups.table_rows[0]]
    return _grouped(groups, x, groups.select(stacked))


def add_grouped_up(groups: Groups, y: Tensor, x: Tensor, stacked: Tensor) -> Tensor:
    """Adds each segment's product with its own narrow-to-wide matrix to y, in place.

    Shape: `[tokens, out]`, `[tokens, in]` and `[table, in, out]` to `[tokens, out]`.
    """
    if y.device.type != "cpu" or y.dtype != torch.float32 or x.dtype != y.dtype:
        return y.add_(grouped_up(groups, x, stacked))
    sizes = groups.sizes
    spans = zip(y.split_with_sizes(sizes), x.split_with_sizes(sizes), strict=True)
    for row, (target, narrow) in zip(groups.table_rows, spans, strict=True):
        target.addmm_(narrow, stacked[row])
    return y


def _grouped(groups: Groups, x: Tensor, weights: Tensor, *, is_transposed: bool = False) -> Tensor:
    if x.device.type == "cpu":
        x, weights = x.float(), weights.float()
    if is_transposed:
        weights = weights.transpose(1, 2)
    # grouped_mm refuses widths that are no multiple of 16 bytes.
    is_aligned = all(size * x.element_size() % _ALIGNED_BYTES == 0 for size in weights.shape[1:])
    if is_aligned and _has_grouped_mm(groups, x):
        return functional.grouped_mm(x, weights, offs=groups.offsets)
    bounds = pairwise((0, *groups.ends))
    return torch.cat([x[a:b] @ weight for (a, b), weight in zip(bounds, weights, strict=True)])


def _has_grouped_mm(groups: Groups, x: Tensor) -> bool:
    """Whether grouped_mm beats one product for each segment: not where CUDA would wait for it."""
    if x.device.type != "cuda":
        return True
    is_short = len(groups) < _MAX_CUDA_GROUPS
    return is_short and x.dtype == torch.bfloat16 and has_grouped_products(x.device)
