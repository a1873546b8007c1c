"""Layers of BART and its kin, which write their residual sums inline."""

from __future__ import annotations

from typing import Any

from torch import nn

from adapter_runtime.backbone.blocks import Close, MakeBlock
from adapter_runtime.backbone.blocks_seq2seq import SequenceLayer, Sublayer
from adapter_runtime.backbone.points import ActivatedLinear
from adapter_runtime.sites import Site


def bart_block(*, is_pre_norm: bool) -> MakeBlock:
    """The maker of a routed layer; mBART normalises what enters a sublayer, BART what leaves it."""

    def sublayer(core: nn.Module, norm: nn.Module, close: Close, site: Site) -> Sublayer:
        if is_pre_norm:
            return Sublayer(core, close(site), norm)
        return Sublayer(core, close(site, norm))

    def make(module: Any, close: Close) -> nn.Module:
        ffn = nn.Sequential(ActivatedLinear(module.fc1, module.activation_fn), module.fc2)
        layer = SequenceLayer(
            sublayer(module.self_attn, module.self_attn_layer_norm, close, Site.ATTENTION),
            sublayer(ffn, module.final_layer_norm, close, Site.FFN),
        )
        if hasattr(module, "encoder_attn"):
            layer.cross = sublayer(
                module.encoder_attn, module.encoder_attn_layer_norm, close, Site.CROSS
            )
        return layer

    return make
