"""GPT-2: pre-LN, learned positions, one merged projection for queries, keys and values."""

from __future__ import annotations

from adapter_runtime.backbone.blocks_gpt2 import gpt2_layer
from adapter_runtime.backbone.rows import Architecture, Layers, Positions, numbered
from adapter_runtime.sites import Site

GPT2 = (
    Architecture(
        model_types=("gpt2",),
        prefix="transformer",
        layers=(
            Layers(
                paths=numbered("h.{}"),
                modules={
                    Site.ATTENTION_INPUT_NORM: "ln_1",
                    Site.QKV: "attn.c_attn",
                    Site.ATTENTION_OUT: "attn.c_proj",
                    Site.FFN_INPUT_NORM: "ln_2",
                    Site.FFN_IN: "mlp.c_fc",
                    Site.FFN_OUT: "mlp.c_proj",
                },
                blocks={"": gpt2_layer},
                adapter_paths={Site.ATTENTION: "attention_adapters", Site.FFN: "output_adapters"},
                attentions={Site.KEYS_VALUES: "attn"},
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "wte",
            Site.POSITION_EMBEDDINGS: "wpe",
            Site.FINAL_NORM: "ln_f",
        },
        # What leaves the dropout is the sum of words and positions.
        embeddings="drop",
        has_types=False,
        positions=Positions(table="wpe"),
        summary="last",
    ),
)
