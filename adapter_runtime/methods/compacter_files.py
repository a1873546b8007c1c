"""Compacter in AdapterHub files: linears made of Kronecker products, folded when they are read.

`H` is the sum over i of `kron(rule[i], W[i])`, and a block computes `x H + b`, without the
transpose of other linears. Rules, and rarely W, may be the same in all layers.

Source: Mahabadi et al. 2021 (https://arxiv.org/abs/2106.04647); `PHMLayer` of the `adapters`
library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.methods.configuration import BadConfig, HubFile, boolean, positive_integer

MAX_FOLDED_BYTES = 4 << 30
"""Of all folded linears of one adapter: small factors may stand for large products."""

Take = Callable[[str, Sequence[int]], Tensor]


@dataclass(frozen=True, slots=True)
class Compacter:
    """The flags of one Compacter configuration.

    Args:
        dim: how many Kronecker products are summed.
        rank: of a factored W.
        has_own_rule, has_own_w: each linear has its own; else all layers share one.
        is_rule_factored, is_w_factored: stored as two factors.
        has_bias: linears have biases.
    """

    dim: int
    rank: int
    has_own_rule: bool
    has_own_w: bool
    is_rule_factored: bool
    is_w_factored: bool
    has_bias: bool


def read_compacter(config: Mapping[str, Any]) -> Compacter | None:
    """The flags, or None where the configuration asks for plain linears.

    Raises:
        BadConfig: a value cannot be used.
    """
    if not boolean(config, "phm_layer"):
        return None
    return Compacter(
        dim=positive_integer(config.get("phm_dim", 4), "phm_dim"),
        rank=positive_integer(config.get("phm_rank", 1), "phm_rank"),
        has_own_rule=not boolean(config, "shared_phm_rule", True),
        has_own_w=not boolean(config, "shared_W_phm"),
        is_rule_factored=boolean(config, "factorized_phm_rule"),
        is_w_factored=boolean(config, "factorized_phm_W", True),
        has_bias=boolean(config, "phm_bias", True),
    )


def check_sizes(flags: Compacter, widths: Sequence[int], hidden_size: int) -> None:
    """Refuse widths that do not divide, and more folded bytes than any model needs.

    Args:
        flags: from `read_compacter`.
        widths: of the block of each point.
        hidden_size: of the backbone.

    Raises:
        BadConfig: a width is refused.
    """
    for width in (hidden_size, *widths):
        if width % flags.dim:
            raise BadConfig(f"phm_dim {flags.dim} does not divide the width {width}.")
    if flags.dim**3 * 4 > MAX_FOLDED_BYTES or sum(widths) * hidden_size * 8 > MAX_FOLDED_BYTES:
        message = f"Its Kronecker products unfold to more than {MAX_FOLDED_BYTES} bytes; refused."
        raise BadConfig(message)
    if not flags.has_own_w and len(set(widths)) > 1:
        raise BadConfig("shared_W_phm needs one reduction_factor for all layers.")


def take_linear(
    flags: Compacter, path: str, position: str, shape: tuple[int, int], file: HubFile
) -> tuple[Tensor, Tensor]:
    """A linear's weight as other linears store it, and its bias.

    Args:
        flags: from `read_compacter`.
        path: of the linear.
        position: `down` or `up`.
        shape: `(out, in)` of the weight.
        file: the checkpoint.
    """
    width_out, width_in = shape
    bias = torch.zeros(()).expand(width_out)
    if flags.has_bias:
        bias = file.ledger.take(f"{path}.b", (width_out,))

    def own(name: str, shape: Sequence[int]) -> Tensor:
        return file.ledger.take(f"{path}.{name}", shape)

    rule = _take_rule(flags, own if flags.has_own_rule else file.take_shared)
    take_w = own if flags.has_own_w else file.take_shared
    name = "W" if flags.has_own_w else f"W_{position}"
    core = _take_w(flags, name, (width_in // flags.dim, width_out // flags.dim), take_w)
    if not file.ledger.is_sound:
        return torch.zeros(()).expand(shape), bias
    return fold(_product(rule), _product(core)).t().contiguous(), bias


def _take_rule(flags: Compacter, take: Take) -> tuple[Tensor, ...]:
    dim = flags.dim
    if flags.is_rule_factored:
        return take("phm_rule_left", (dim, dim, 1)), take("phm_rule_right", (dim, 1, dim))
    return (take("phm_rule", (dim, dim, dim)),)


def _take_w(flags: Compacter, name: str, sizes: tuple[int, int], take: Take) -> tuple[Tensor, ...]:
    dim, (size_in, size_out) = flags.dim, sizes
    if flags.is_w_factored:
        left = take(f"{name}_left", (dim, size_in, flags.rank))
        return left, take(f"{name}_right", (dim, flags.rank, size_out))
    return (take(name, (dim, size_in, size_out)),)


def _product(factors: tuple[Tensor, ...]) -> Tensor:
    return factors[0] if len(factors) == 1 else torch.bmm(*factors)


def fold(rule: Tensor, core: Tensor) -> Tensor:
    """The sum of the Kronecker products of `[n, a, b]` and `[n, c, d]`: `[a c, b d]`."""
    size_in, size_out = rule.shape[1] * core.shape[1], rule.shape[2] * core.shape[2]
    return torch.einsum("iab,icd->acbd", rule, core).reshape(size_in, size_out)
