"""BERT and the families that share its module names."""

from __future__ import annotations

from dataclasses import replace

from adapter_runtime.backbone.blocks import intermediate_block, mpnet_attention, output_block
from adapter_runtime.backbone.blocks_bert import bert_layer, call_bert
from adapter_runtime.backbone.routing import Layout
from adapter_runtime.backbone.rows import Architecture, Layers, Positions, numbered
from adapter_runtime.sites import Site

PRE_NORM_MODULES = {
    Site.QUERY: "attention.self.query",
    Site.KEY: "attention.self.key",
    Site.VALUE: "attention.self.value",
    Site.ATTENTION_OUT: "attention.output.dense",
    Site.FFN_INPUT_NORM: "LayerNorm",
    Site.FFN_IN: "intermediate.dense",
    Site.FFN_OUT: "output.dense",
}
"""BERT's names where norms stand before sublayers; that of the attention's differs by family."""

BERT_LAYERS = Layers(
    paths=numbered("encoder.layer.{}"),
    modules={
        Site.QUERY: "attention.self.query",
        Site.KEY: "attention.self.key",
        Site.VALUE: "attention.self.value",
        Site.ATTENTION_OUT: "attention.output.dense",
        Site.ATTENTION_NORM: "attention.output.LayerNorm",
        Site.FFN_IN: "intermediate.dense",
        Site.FFN_OUT: "output.dense",
        Site.FFN_NORM: "output.LayerNorm",
    },
    blocks={
        "attention.output": output_block(Site.ATTENTION),
        "intermediate": intermediate_block,
        "output": output_block(Site.FFN),
    },
    adapter_paths={Site.ATTENTION: "attention.output", Site.FFN: "output"},
    attentions={Site.KEYS_VALUES: "attention.self"},
)
_PLAIN_LAYERS = (replace(BERT_LAYERS, blocks={**BERT_LAYERS.blocks, "": bert_layer}),)
BERT_OUTSIDE = {
    Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
    Site.POSITION_EMBEDDINGS: "embeddings.position_embeddings",
    Site.TYPE_EMBEDDINGS: "embeddings.token_type_embeddings",
    Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
    Site.EMBEDDINGS_PROJECTION: "embeddings_project",
    Site.POOLER: "pooler.dense",
}

_MPNET_LAYERS = Layers(
    paths=BERT_LAYERS.paths,
    modules={
        **BERT_LAYERS.modules,
        Site.QUERY: "attention.attn.q",
        Site.KEY: "attention.attn.k",
        Site.VALUE: "attention.attn.v",
        Site.ATTENTION_OUT: "attention.attn.o",
        Site.ATTENTION_NORM: "attention.LayerNorm",
    },
    blocks={
        "attention": mpnet_attention,
        "intermediate": intermediate_block,
        "output": output_block(Site.FFN),
    },
    # The `adapters` library has no MPNet; these names follow its rule for BERT.
    adapter_paths=BERT_LAYERS.adapter_paths,
)

BERT = (
    Architecture(("bert",), "bert", _PLAIN_LAYERS, BERT_OUTSIDE, call=call_bert, can_fork=True),
    Architecture(
        ("electra",), "electra", _PLAIN_LAYERS, BERT_OUTSIDE, call=call_bert, can_fork=True
    ),
    Architecture(
        ("roberta", "xlm-roberta", "camembert"),
        "roberta",
        _PLAIN_LAYERS,
        BERT_OUTSIDE,
        positions=Positions(after_pad=True),
        call=call_bert,
        can_fork=True,
    ),
    Architecture(
        ("mpnet",),
        "mpnet",
        (_MPNET_LAYERS,),
        BERT_OUTSIDE,
        # Relative position bias is added inside the model, beside the attention interface.
        layout=Layout.PADDED,
        has_types=False,
        positions=Positions(after_pad=True),
    ),
)
