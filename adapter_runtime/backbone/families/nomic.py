"""NomicBERT: BERT with rotary positions and a gated feed-forward; `adapters` does not know it."""

from __future__ import annotations

from adapter_runtime.backbone.rows import Architecture, Layers, Positions, numbered
from adapter_runtime.sites import Site

NOMIC = (
    Architecture(
        model_types=("nomic_bert",),
        prefix="nomic_bert",
        layers=(
            Layers(
                paths=numbered("layers.{}"),
                modules={
                    Site.QUERY: "self_attn.q_proj",
                    Site.KEY: "self_attn.k_proj",
                    Site.VALUE: "self_attn.v_proj",
                    Site.ATTENTION_OUT: "self_attn.o_proj",
                    Site.ATTENTION_NORM: "post_attention_layernorm",
                    Site.FFN_GATE: "mlp.gate_proj",
                    Site.FFN_IN: "mlp.up_proj",
                    Site.FFN_OUT: "mlp.down_proj",
                    Site.FFN_NORM: "post_mlp_layernorm",
                },
                blocks={},
                adapter_paths={},
                attentions={Site.KEYS_VALUES: "self_attn"},
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
            Site.TYPE_EMBEDDINGS: "embeddings.token_type_embeddings",
            Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
            Site.POOLER: "pooler.dense",
        },
        positions=Positions(table=None),
    ),
)
