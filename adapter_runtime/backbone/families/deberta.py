"""DeBERTa v1, v2 and v3: BERT with vectors of relative positions in its attention."""

from __future__ import annotations

from adapter_runtime.backbone.blocks_deberta import (
    call_deberta,
    fused_attention,
    part_biases,
    separate_attention,
)
from adapter_runtime.backbone.families.bert import BERT_LAYERS
from adapter_runtime.backbone.rows import Architecture, Layers, Positions
from adapter_runtime.sites import Site

_V1_LAYERS = Layers(
    paths=BERT_LAYERS.paths,
    modules={
        Site.QKV: "attention.self.in_proj",
        Site.QUERY_SHIFT: "attention.self.q_bias",
        Site.VALUE_SHIFT: "attention.self.v_bias",
        Site.RELATIVE_KEY: "attention.self.pos_proj",
        Site.RELATIVE_QUERY: "attention.self.pos_q_proj",
        Site.ATTENTION_OUT: "attention.output.dense",
        Site.ATTENTION_NORM: "attention.output.LayerNorm",
        Site.FFN_IN: "intermediate.dense",
        Site.FFN_OUT: "output.dense",
        Site.FFN_NORM: "output.LayerNorm",
    },
    blocks={**BERT_LAYERS.blocks, "attention.self": fused_attention},
    adapter_paths=BERT_LAYERS.adapter_paths,
    attentions=BERT_LAYERS.attentions,
)
_V2_LAYERS = Layers(
    paths=BERT_LAYERS.paths,
    modules={
        **BERT_LAYERS.modules,
        Site.QUERY: "attention.self.query_proj",
        Site.KEY: "attention.self.key_proj",
        Site.VALUE: "attention.self.value_proj",
        Site.RELATIVE_KEY: "attention.self.pos_key_proj",
        Site.RELATIVE_QUERY: "attention.self.pos_query_proj",
    },
    blocks={**BERT_LAYERS.blocks, "attention.self": separate_attention},
    adapter_paths=BERT_LAYERS.adapter_paths,
    attentions=BERT_LAYERS.attentions,
)
_OUTSIDE = {
    Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
    Site.POSITION_EMBEDDINGS: "embeddings.position_embeddings",
    Site.TYPE_EMBEDDINGS: "embeddings.token_type_embeddings",
    Site.EMBEDDINGS_PROJECTION: "embeddings.embed_proj",
    Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
    Site.RELATIVE_NORM: "encoder.LayerNorm",
    Site.CONVOLUTION: "encoder.conv.conv",
    Site.CONVOLUTION_NORM: "encoder.conv.LayerNorm",
}
# Many have no table of positions at all.
_POSITIONS = Positions(table=None)

DEBERTA = (
    Architecture(
        ("deberta",),
        "deberta",
        (_V1_LAYERS,),
        _OUTSIDE,
        positions=_POSITIONS,
        call=call_deberta,
        prepare=part_biases,
    ),
    Architecture(
        ("deberta-v2",),
        "deberta",
        (_V2_LAYERS,),
        _OUTSIDE,
        positions=_POSITIONS,
        call=call_deberta,
    ),
)
