"""T5's feed-forward branch and its relative position bias over packed rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.blocks_seq2seq import SequenceLayer, Sublayer
from adapter_runtime.backbone.points import ActivatedLinear
from adapter_runtime.sites import Site


class GatedDense(nn.Module):
    """`wo(act(wi_0 x) * wi_1 x)`, the feed-forward branch of newer T5 models."""

    def __init__(self, gate: ActivatedLinear, linear: nn.Module, out: nn.Module) -> None:
        super().__init__()
        self.gate = gate
        self.linear = linear
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        """The branch's output. Shape: `[..., width]`."""
        y: Tensor = self.out(self.gate(x) * self.linear(x))
        return y


class RelativeBias:
    """The relative position bias of one stack during one forward.

    Keys are counted from the first prefix token. The `adapters` library counts queries from the
    row's own first token all the same, PEFT moves them on by the length of its prefix. The bias is
    made in the first layer; from the first layer on whose prefix has another length there is none.

    Args:
        attention: the first layer's self-attention, which owns the table.
        shifts: the position of each row's first query.

    Source: transformers `T5Attention.compute_bias`; `adapters` 1.3.0 `T5AttentionWithAdapters`.
    """

    def __init__(self, attention: Any, shifts: Sequence[int]) -> None:
        self._attention = attention
        self._shifts = shifts
        self._table: Tensor | None = None
        self._keys: dict[int, int] = {}

    def row(self, number: int, queries: int, keys: int) -> Tensor | None:
        """The bias of one row. Shape: `[1, heads, queries, keys]`."""
        if self._keys.setdefault(number, keys) != keys:
            self._keys[number] = 0  # equals no count of keys: the bias stays away
            return None
        first, table = self._shifts[number], self._table
        stop = first + queries
        if table is None or table.shape[2] < stop or table.shape[3] < keys:
            known = (0, 0) if table is None else table.shape[2:]
            table = self._attention.compute_bias(max(stop, known[0]), max(keys, known[1]))
            self._table = table
        return table[:, :, first:stop, :keys]


class NoBias:
    """Cross attention: no token is nearer than another."""

    def row(self, number: int, queries: int, keys: int) -> None:
        """Nothing for any row."""


def t5_block(module: Any, close: Close) -> nn.Module:
    """A routed T5 layer."""
    attention, *cross, ffn = module.layer
    return SequenceLayer(
        Sublayer(attention.SelfAttention, close(Site.ATTENTION), attention.layer_norm),
        Sublayer(_dense(ffn.DenseReluDense), close(Site.FFN), ffn.layer_norm),
        *(Sublayer(each.EncDecAttention, close(Site.CROSS), each.layer_norm) for each in cross),
    )


def _dense(module: Any) -> nn.Module:
    if hasattr(module, "wi"):
        return nn.Sequential(ActivatedLinear(module.wi, module.act), module.wo)
    return GatedDense(ActivatedLinear(module.wi_0, module.act), module.wi_1, module.wo)
