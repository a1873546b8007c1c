"""BART, mBART and PLBART: an encoder and a decoder with learned positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from adapter_runtime.backbone.blocks_bart import bart_block
from adapter_runtime.backbone.blocks_seq2seq import (
    each_layer,
    last_token,
    row_shifts,
    shift_right,
    start_token,
)
from adapter_runtime.backbone.rows import Architecture, Layers, Positions
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sites import Site

_OFFSET = 2
_ATTENTION = {
    Site.QUERY: "self_attn.q_proj",
    Site.KEY: "self_attn.k_proj",
    Site.VALUE: "self_attn.v_proj",
    Site.ATTENTION_OUT: "self_attn.out_proj",
    Site.FFN_IN: "fc1",
    Site.FFN_OUT: "fc2",
}
_CROSS = {
    Site.CROSS_QUERY: "encoder_attn.q_proj",
    Site.CROSS_KEY: "encoder_attn.k_proj",
    Site.CROSS_VALUE: "encoder_attn.v_proj",
    Site.CROSS_OUT: "encoder_attn.out_proj",
}
_POST_NORMS = {
    Site.ATTENTION_NORM: "self_attn_layer_norm",
    Site.CROSS_NORM: "encoder_attn_layer_norm",
    Site.FFN_NORM: "final_layer_norm",
}
_PRE_NORMS = {
    Site.ATTENTION_INPUT_NORM: "self_attn_layer_norm",
    Site.CROSS_INPUT_NORM: "encoder_attn_layer_norm",
    Site.FFN_INPUT_NORM: "final_layer_norm",
}
_ADAPTERS = {Site.ATTENTION: "attention_adapters", Site.FFN: "output_adapters"}
_OUTSIDE = {
    Site.WORD_EMBEDDINGS: "encoder.embed_tokens",
    Site.EMBEDDINGS_NORM: "encoder.layernorm_embedding",
    Site.ENCODER_NORM: "encoder.layer_norm",
    Site.DECODER_EMBEDDINGS_NORM: "decoder.layernorm_embedding",
    Site.FINAL_NORM: "decoder.layer_norm",
}


def call_bart(model: PreTrainedModel, inputs: Mapping[str, Any], spans: RowSpans) -> Tensor:
    """The decoder's states over the encoder's, the decoder reading the input shifted right."""
    config: Any = model.config
    ids, positions = inputs["input_ids"], inputs["position_ids"]
    shifts = row_shifts(positions, spans, _OFFSET)
    memory = _stack(model.encoder, ids, positions - shifts, None)
    first = start_token(model) if config.model_type == "bart" else last_token(config.pad_token_id)
    return _stack(model.decoder, shift_right(ids, spans, first), positions, memory)


def _stack(stack: Any, ids: Tensor, positions: Tensor, memory: Tensor | None) -> Tensor:
    # The model's own table counts positions along the stream, ours along each row.
    states = stack.embed_tokens(ids) + nn.functional.embedding(
        positions, stack.embed_positions.weight
    )
    states = each_layer(stack.layers, stack.layernorm_embedding(states), memory)
    return stack.layer_norm(states) if hasattr(stack, "layer_norm") else states


def _layers(*, is_pre_norm: bool) -> tuple[Layers, Layers]:
    modules = _ATTENTION | (_PRE_NORMS if is_pre_norm else _POST_NORMS)
    blocks = {"": bart_block(is_pre_norm=is_pre_norm)}
    return (
        Layers(
            paths=lambda config: [f"encoder.layers.{i}" for i in range(config.encoder_layers)],
            modules=modules,
            blocks=blocks,
            adapter_paths=_ADAPTERS,
            attentions={Site.KEYS_VALUES: "self_attn"},
        ),
        Layers(
            paths=lambda config: [f"decoder.layers.{i}" for i in range(config.decoder_layers)],
            modules=modules | _CROSS,
            blocks=blocks,
            adapter_paths=_ADAPTERS | {Site.CROSS: "cross_attention_adapters"},
            attentions={
                Site.KEYS_VALUES: "self_attn",
                Site.CROSS_KEYS_VALUES: "encoder_attn",
            },
        ),
    )


def _row(*model_types: str, is_pre_norm: bool) -> Architecture:
    return Architecture(
        model_types=model_types,
        prefix="model",
        layers=_layers(is_pre_norm=is_pre_norm),
        outside=_OUTSIDE,
        embeddings="encoder.layernorm_embedding",
        has_types=False,
        positions=Positions(table="encoder.embed_positions", offset=_OFFSET),
        summary="eos",
        call=call_bart,
    )


BART = (_row("bart", "plbart", is_pre_norm=False), _row("mbart", is_pre_norm=True))
