"""ModernBERT: rotary positions, windows in most layers, norms before the sublayers."""

from __future__ import annotations

from adapter_runtime.backbone.blocks_modernbert import (
    modernbert_attention,
    modernbert_feed_forward,
)
from adapter_runtime.backbone.rows import Architecture, Layers, Positions, numbered
from adapter_runtime.sites import Site

MODERNBERT = (
    Architecture(
        model_types=("modernbert",),
        prefix="model",
        layers=(
            Layers(
                paths=numbered("layers.{}"),
                modules={
                    Site.ATTENTION_INPUT_NORM: "attn_norm",
                    Site.QKV: "attn.Wqkv",
                    Site.ATTENTION_OUT: "attn.Wo",
                    Site.FFN_INPUT_NORM: "mlp_norm",
                    Site.FFN_IN: "mlp.Wi",
                    Site.FFN_OUT: "mlp.Wo",
                },
                blocks={"attn": modernbert_attention, "mlp": modernbert_feed_forward},
                adapter_paths={
                    Site.ATTENTION: "attention_adapters",
                    Site.FFN: "output_adapters",
                },
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "embeddings.tok_embeddings",
            Site.EMBEDDINGS_NORM: "embeddings.norm",
            Site.FINAL_NORM: "final_norm",
        },
        has_types=False,
        positions=Positions(table=None),
        is_hooked=True,
    ),
)
