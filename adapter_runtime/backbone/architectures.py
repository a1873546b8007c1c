"""One data row per architecture: where its plug points are and how its rows must lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapter_runtime.backbone.blocks import (
    MakeBlock,
    distilbert_block,
    intermediate_block,
    mpnet_attention,
    output_block,
)
from adapter_runtime.backbone.routing import Layout
from adapter_runtime.errors import BackboneError
from adapter_runtime.types import Site


@dataclass(frozen=True)
class Architecture:
    """How one family of backbones is wrapped; `{}` in a path stands for the layer number.

    Args:
        model_types: values of `config.model_type`.
        prefix: the base model's attribute in task models.
        modules: path of each module point; a path that a config lacks is skipped.
        blocks: path of each module that wraps around plug points, and its routed replacement.
        adapter_paths: where the `adapters` library hangs `.adapters.NAME` at sublayer points.
        layout: packed when attention goes through `AttentionInterface`, else padded.
        has_types: the model takes token type ids.
        positions_after_pad: positions count from `padding_idx + 1` and skip padding tokens.
    """

    model_types: tuple[str, ...]
    prefix: str
    modules: Mapping[Site, str]
    blocks: Mapping[str, MakeBlock]
    adapter_paths: Mapping[Site, str]
    layout: Layout = Layout.PACKED
    has_types: bool = True
    positions_after_pad: bool = False


_BERT_MODULES = {
    Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
    Site.EMBEDDINGS_PROJECTION: "embeddings_project",
    Site.QUERY: "encoder.layer.{}.attention.self.query",
    Site.KEY: "encoder.layer.{}.attention.self.key",
    Site.VALUE: "encoder.layer.{}.attention.self.value",
    Site.ATTENTION_OUT: "encoder.layer.{}.attention.output.dense",
    Site.ATTENTION_NORM: "encoder.layer.{}.attention.output.LayerNorm",
    Site.FFN_IN: "encoder.layer.{}.intermediate.dense",
    Site.FFN_OUT: "encoder.layer.{}.output.dense",
    Site.FFN_NORM: "encoder.layer.{}.output.LayerNorm",
    Site.POOLER: "pooler.dense",
}
_BERT_BLOCKS = {
    "encoder.layer.{}.attention.output": output_block(Site.ATTENTION),
    "encoder.layer.{}.intermediate": intermediate_block,
    "encoder.layer.{}.output": output_block(Site.FFN),
}
_BERT_ADAPTERS = {
    Site.ATTENTION: "encoder.layer.{}.attention.output",
    Site.FFN: "encoder.layer.{}.output",
}

_DISTILBERT = Architecture(
    model_types=("distilbert",),
    prefix="distilbert",
    modules={
        Site.EMBEDDINGS_NORM: "embeddings.LayerNorm",
        Site.QUERY: "transformer.layer.{}.attention.q_lin",
        Site.KEY: "transformer.layer.{}.attention.k_lin",
        Site.VALUE: "transformer.layer.{}.attention.v_lin",
        Site.ATTENTION_OUT: "transformer.layer.{}.attention.out_lin",
        Site.ATTENTION_NORM: "transformer.layer.{}.sa_layer_norm",
        Site.FFN_IN: "transformer.layer.{}.ffn.lin1",
        Site.FFN_OUT: "transformer.layer.{}.ffn.lin2",
        Site.FFN_NORM: "transformer.layer.{}.output_layer_norm",
    },
    blocks={"transformer.layer.{}": distilbert_block},
    adapter_paths={
        Site.ATTENTION: "transformer.layer.{}.attention_adapters",
        Site.FFN: "transformer.layer.{}.output_adapters",
    },
    has_types=False,
)

_MPNET = Architecture(
    model_types=("mpnet",),
    prefix="mpnet",
    modules={
        **_BERT_MODULES,
        Site.QUERY: "encoder.layer.{}.attention.attn.q",
        Site.KEY: "encoder.layer.{}.attention.attn.k",
        Site.VALUE: "encoder.layer.{}.attention.attn.v",
        Site.ATTENTION_OUT: "encoder.layer.{}.attention.attn.o",
        Site.ATTENTION_NORM: "encoder.layer.{}.attention.LayerNorm",
    },
    blocks={
        "encoder.layer.{}.attention": mpnet_attention,
        "encoder.layer.{}.intermediate": intermediate_block,
        "encoder.layer.{}.output": output_block(Site.FFN),
    },
    # The `adapters` library has no MPNet; these names follow its rule for BERT.
    adapter_paths=_BERT_ADAPTERS,
    # Relative position bias is added inside the model, beside the attention interface.
    layout=Layout.PADDED,
    has_types=False,
    positions_after_pad=True,
)

ARCHITECTURES = (
    Architecture(("bert",), "bert", _BERT_MODULES, _BERT_BLOCKS, _BERT_ADAPTERS),
    Architecture(("electra",), "electra", _BERT_MODULES, _BERT_BLOCKS, _BERT_ADAPTERS),
    Architecture(
        ("roberta", "xlm-roberta"),
        "roberta",
        _BERT_MODULES,
        _BERT_BLOCKS,
        _BERT_ADAPTERS,
        positions_after_pad=True,
    ),
    _DISTILBERT,
    _MPNET,
)


def find_architecture(model_type: str) -> Architecture:
    """The row of a `config.model_type`.

    Raises:
        BackboneError: no row has it; lists those that exist.
    """
    rows = {name: row for row in ARCHITECTURES for name in row.model_types}
    if model_type not in rows:
        known = ", ".join(sorted(rows))
        raise BackboneError(
            f"Backbones of type {model_type!r} are not supported; use one of {known}."
        )
    return rows[model_type]
