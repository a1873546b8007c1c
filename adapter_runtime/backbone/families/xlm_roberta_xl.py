"""XLM-R XL and XXL: RoBERTa with its norms before the sublayers; `adapters` does not know it."""

from __future__ import annotations

from adapter_runtime.backbone.blocks import intermediate_block
from adapter_runtime.backbone.families.bert import BERT_LAYERS, PRE_NORM_MODULES
from adapter_runtime.backbone.rows import Architecture, Layers, Positions, numbered
from adapter_runtime.sites import Site

XLM_ROBERTA_XL = (
    Architecture(
        model_types=("xlm-roberta-xl",),
        prefix="roberta",
        layers=(
            Layers(
                paths=numbered("encoder.layer.{}"),
                modules={
                    Site.ATTENTION_INPUT_NORM: "attention.self_attn_layer_norm",
                    **PRE_NORM_MODULES,
                },
                blocks={"intermediate": intermediate_block},
                adapter_paths={},
                attentions=BERT_LAYERS.attentions,
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
            Site.POSITION_EMBEDDINGS: "embeddings.position_embeddings",
            Site.TYPE_EMBEDDINGS: "embeddings.token_type_embeddings",
            Site.FINAL_NORM: "encoder.LayerNorm",
            Site.POOLER: "pooler.dense",
        },
        positions=Positions(after_pad=True),
        can_fork=True,
    ),
)
