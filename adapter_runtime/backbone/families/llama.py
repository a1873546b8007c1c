"""Llama and its kin: pre-LN, RMSNorm, rotary positions, gated feed-forward sublayers."""

from __future__ import annotations

from dataclasses import replace

from adapter_runtime.backbone.blocks_llama import hooked_llama_layer, llama_layer
from adapter_runtime.backbone.rows import (
    LORA_SITES,
    Architecture,
    Layers,
    Positions,
    numbered,
)
from adapter_runtime.sites import Site

LLAMA_LAYERS = Layers(
    paths=numbered("layers.{}"),
    modules={
        Site.ATTENTION_INPUT_NORM: "input_layernorm",
        Site.QUERY: "self_attn.q_proj",
        Site.KEY: "self_attn.k_proj",
        Site.VALUE: "self_attn.v_proj",
        Site.ATTENTION_OUT: "self_attn.o_proj",
        Site.FFN_INPUT_NORM: "post_attention_layernorm",
        Site.FFN_GATE: "mlp.gate_proj",
        Site.FFN_IN: "mlp.up_proj",
        Site.FFN_OUT: "mlp.down_proj",
    },
    blocks={"": llama_layer},
    adapter_paths={Site.ATTENTION: "attention_adapters", Site.FFN: "output_adapters"},
    attentions={Site.KEYS_VALUES: "self_attn"},
)
_NATIVE = Architecture(
    model_types=("llama", "mistral"),
    prefix="model",
    layers=(LLAMA_LAYERS,),
    outside={Site.WORD_EMBEDDINGS: "embed_tokens", Site.FINAL_NORM: "norm"},
    embeddings="embed_tokens",
    has_types=False,
    positions=Positions(table=None),
    summary="last",
    # Question answering models, whatever the others of the family say.
    other_prefixes=("transformer",),
    lora_sites={"intermediate_lora": Site.FFN_OUT, "output_lora": Site.FFN_IN},
)

LLAMA = (
    _NATIVE,
    replace(
        _NATIVE,
        model_types=("qwen2", "qwen3"),
        layers=(replace(LLAMA_LAYERS, blocks={"": hooked_llama_layer}),),
        is_hooked=True,
        lora_sites=LORA_SITES,
    ),
)
