"""ALBERT: few layers, each run several times, over narrow embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapter_runtime.backbone.blocks_albert import albert_block, albert_pooler
from adapter_runtime.backbone.rows import Architecture, Layers
from adapter_runtime.sites import Site


def _paths(config: Any) -> Sequence[str]:
    """Each distinct layer once, as the `adapters` library counts them."""
    return [
        f"encoder.albert_layer_groups.{group}.albert_layers.{layer}"
        for group in range(config.num_hidden_groups)
        for layer in range(config.inner_group_num)
    ]


ALBERT = (
    Architecture(
        model_types=("albert",),
        prefix="albert",
        layers=(
            Layers(
                paths=_paths,
                modules={
                    Site.QUERY: "attention.query",
                    Site.KEY: "attention.key",
                    Site.VALUE: "attention.value",
                    Site.ATTENTION_OUT: "attention.dense",
                    Site.ATTENTION_NORM: "attention.LayerNorm",
                    Site.FFN_IN: "ffn",
                    Site.FFN_OUT: "ffn_output",
                    Site.FFN_NORM: "full_layer_layer_norm",
                },
                blocks={"": albert_block},
                adapter_paths={
                    Site.ATTENTION: "attention.attention_adapters",
                    Site.FFN: "output_adapters",
                },
                attentions={Site.KEYS_VALUES: "attention"},
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
            Site.POSITION_EMBEDDINGS: "embeddings.position_embeddings",
            Site.TYPE_EMBEDDINGS: "embeddings.token_type_embeddings",
            Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
            Site.EMBEDDINGS_PROJECTION: "encoder.embedding_hidden_mapping_in",
            Site.POOLER: "pooler",
        },
        pooler=albert_pooler,
    ),
)
