"""Each segment times matrices of its own: the products behind the device tables.

On CPU each segment is a product by itself, on its table's own row: gathering the rows first takes
as long as a product of that size. So the rows need not lie side by side there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor
from torch.nn import functional

from adapter_runtime.backbone.cuda import has_grouped_products
from adapter_runtime.backbone.routing import Groups
from adapter_runtime.methods.apart import Apart, Rows

_ALIGNED_BYTES = 16
_MAX_CUDA_GROUPS = 1024
"""Groups that one grouped product takes on CUDA."""


def grouped_down(groups: Groups, x: Tensor, stacked: Rows) -> Tensor:
    """Each segment times its own wide-to-narrow matrix.

    These are stored as `nn.Linear` stores them: reading rows along the wide side takes half the
    time of reading them along the narrow one.

    Shape: `[tokens, in]` and `[table, out, in]` to `[tokens, out]`.
    """
    x = x.to(stacked.dtype)
    if len(groups) == 1:
        return x @ stacked[groups.table_rows[0]].t()
    if _is_grouped(stacked, groups, x):
        weights = groups.select(stacked).transpose(1, 2)
        return functional.grouped_mm(x, weights, offs=groups.offsets)
    return _each(groups, x, [stacked[row].t() for row in groups.table_rows])


def grouped_up(groups: Groups, x: Tensor, stacked: Rows) -> Tensor:
    """Each segment times its own narrow-to-wide matrix, in the stack's dtype.

    Shape: `[tokens, in]` and `[table, in, out]` to `[tokens, out]`.
    """
    x = x.to(stacked.dtype)
    if isinstance(stacked, Apart):
        x = _scaled(groups, x, stacked)
    if len(groups) == 1:
        return x @ stacked[groups.table_rows[0]]
    if _is_grouped(stacked, groups, x):
        return functional.grouped_mm(x, groups.select(stacked), offs=groups.offsets)
    return _each(groups, x, [stacked[row] for row in groups.table_rows])


def _scaled(groups: Groups, x: Tensor, stacked: Apart) -> Tensor:
    """The narrow states times their segments' scales."""
    scales = [stacked.scale(row) for row in groups.table_rows]
    if len(set(scales)) == 1:
        return x if scales[0] == 1.0 else x * scales[0]
    sizes = torch.tensor(groups.sizes)
    return x * torch.tensor(scales, dtype=x.dtype).repeat_interleave(sizes).unsqueeze(1)


def add_grouped_up(
    groups: Groups,
    y: Tensor,
    x: Tensor,
    stacked: Rows,
    biases: Tensor | None = None,
    factors: Tensor | None = None,
) -> Tensor:
    """Adds each segment's product with its own narrow-to-wide matrix to y, in place.

    The sum is multiplied by the factors before the biases join. Where y has fewer digits than the
    stack, all of it is rounded once.

    Shape: `[tokens, out]`, `[tokens, in]`, `[table, in, out]` and two of `[table, out]` to
    `[tokens, out]`.
    """
    if y.device.type != "cpu":
        y.add_(grouped_up(groups, x, stacked))
        y = y if factors is None else y.mul_(groups.per_token(factors))
        return y if biases is None else y.add_(groups.per_token(biases))
    # A sum of two dtypes takes several times as long as to change one and back.
    total, sizes = y.to(stacked.dtype), groups.sizes
    spans = zip(total.split_with_sizes(sizes), x.split_with_sizes(sizes), strict=True)
    for row, (target, narrow) in zip(groups.table_rows, spans, strict=True):
        scale = stacked.scale(row) if isinstance(stacked, Apart) else 1.0
        target.addmm_(narrow, stacked[row], alpha=scale)
        if factors is not None:
            target.mul_(factors[row])
        if biases is not None:
            target.add_(biases[row])
    return y if total is y else y.copy_(total)


def _each(groups: Groups, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """One product for each segment. Shape: matrices of `[in, out]`."""
    sources = x.split_with_sizes(groups.sizes)
    return torch.cat([source @ weight for source, weight in zip(sources, weights, strict=True)])


def _is_grouped(stacked: Rows, groups: Groups, x: Tensor) -> TypeGuard[Tensor]:
    """Whether grouped_mm beats one product for each segment: not where CUDA would wait for it."""
    if not isinstance(stacked, Tensor) or x.device.type != "cuda" or x.dtype != torch.bfloat16:
        return False
    if len(groups) >= _MAX_CUDA_GROUPS:
        return False
    # It refuses widths that are no multiple of 16 bytes.
    is_aligned = all(size * x.element_size() % _ALIGNED_BYTES == 0 for size in stacked.shape[1:])
    return is_aligned and has_grouped_products(x.device)
