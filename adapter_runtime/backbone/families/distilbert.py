"""DistilBERT, which writes its residual sums inline."""

from __future__ import annotations

from adapter_runtime.backbone.blocks import distilbert_block
from adapter_runtime.backbone.rows import Architecture, Layers, numbered
from adapter_runtime.sites import Site

DISTILBERT = (
    Architecture(
        model_types=("distilbert",),
        prefix="distilbert",
        layers=(
            Layers(
                paths=numbered("transformer.layer.{}"),
                modules={
                    Site.QUERY: "attention.q_lin",
                    Site.KEY: "attention.k_lin",
                    Site.VALUE: "attention.v_lin",
                    Site.ATTENTION_OUT: "attention.out_lin",
                    Site.ATTENTION_NORM: "sa_layer_norm",
                    Site.FFN_IN: "ffn.lin1",
                    Site.FFN_OUT: "ffn.lin2",
                    Site.FFN_NORM: "output_layer_norm",
                },
                blocks={"": distilbert_block},
                adapter_paths={
                    Site.ATTENTION: "attention_adapters",
                    Site.FFN: "output_adapters",
                },
                attentions={Site.KEYS_VALUES: "attention"},
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
            Site.POSITION_EMBEDDINGS: "embeddings.position_embeddings",
            Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
        },
        has_types=False,
        can_fork=True,
    ),
)
