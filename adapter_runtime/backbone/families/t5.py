"""T5 and mT5: an encoder and a decoder with relative positions and unscaled attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from adapter_runtime.backbone.blocks_seq2seq import each_layer, shift_right, start_token
from adapter_runtime.backbone.blocks_t5 import NoBias, RelativeBias, t5_block
from adapter_runtime.backbone.rows import Architecture, Layers, Positions
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sites import Site

_ATTENTION = {
    Site.ATTENTION_INPUT_NORM: "layer.0.layer_norm",
    Site.QUERY: "layer.0.SelfAttention.q",
    Site.KEY: "layer.0.SelfAttention.k",
    Site.VALUE: "layer.0.SelfAttention.v",
    Site.ATTENTION_OUT: "layer.0.SelfAttention.o",
}
_CROSS = {
    Site.CROSS_INPUT_NORM: "layer.1.layer_norm",
    Site.CROSS_QUERY: "layer.1.EncDecAttention.q",
    Site.CROSS_KEY: "layer.1.EncDecAttention.k",
    Site.CROSS_VALUE: "layer.1.EncDecAttention.v",
    Site.CROSS_OUT: "layer.1.EncDecAttention.o",
}


def call_t5(model: PreTrainedModel, inputs: Mapping[str, Any], spans: RowSpans) -> Tensor:
    """The decoder's states over the encoder's, the decoder reading the input shifted right."""
    ids = inputs["input_ids"]
    memory = _stack(model.encoder, ids, None, [0] * len(spans))
    shifts = inputs["position_ids"][0, list(spans.starts)].tolist()
    return _stack(model.decoder, shift_right(ids, spans, start_token(model)), memory, shifts)


def _stack(stack: Any, ids: Tensor, memory: Tensor | None, shifts: Sequence[int]) -> Tensor:
    bias = RelativeBias(stack.block[0].attention.core, shifts)
    states = each_layer(
        stack.block, stack.embed_tokens(ids), memory, position_bias=bias, cross_bias=NoBias()
    )
    normed: Tensor = stack.final_layer_norm(states)
    return normed


def _ffn(place: int, *, is_gated: bool) -> dict[Site, str]:
    dense = f"layer.{place}.DenseReluDense"
    paths = {
        Site.FFN_INPUT_NORM: f"layer.{place}.layer_norm",
        Site.FFN_IN: f"{dense}.{'wi_1' if is_gated else 'wi'}",
        Site.FFN_OUT: f"{dense}.wo",
    }
    return paths | ({Site.FFN_GATE: f"{dense}.wi_0"} if is_gated else {})


def _paths(stack: str, count: str, *, is_gated: bool) -> Callable[[Any], Sequence[str]]:
    """The layers of a stack, none where its feed-forward branches are of the other kind."""

    def paths(config: Any) -> Sequence[str]:
        numbers = range(getattr(config, count)) if config.is_gated_act == is_gated else ()
        return [f"{stack}.block.{number}" for number in numbers]

    return paths


def _encoder(*, is_gated: bool) -> Layers:
    return Layers(
        paths=_paths("encoder", "num_layers", is_gated=is_gated),
        modules=_ATTENTION | _ffn(1, is_gated=is_gated),
        blocks={"": t5_block},
        adapter_paths={Site.ATTENTION: "layer.0", Site.FFN: "layer.1"},
        attentions={Site.KEYS_VALUES: "layer.0.SelfAttention"},
    )


def _decoder(*, is_gated: bool) -> Layers:
    return Layers(
        paths=_paths("decoder", "num_decoder_layers", is_gated=is_gated),
        modules=_ATTENTION | _CROSS | _ffn(2, is_gated=is_gated),
        blocks={"": t5_block},
        adapter_paths={Site.ATTENTION: "layer.0", Site.CROSS: "layer.1", Site.FFN: "layer.2"},
        attentions={
            Site.KEYS_VALUES: "layer.0.SelfAttention",
            Site.CROSS_KEYS_VALUES: "layer.1.EncDecAttention",
        },
    )


T5 = (
    Architecture(
        model_types=("t5", "mt5"),
        prefix="transformer",
        layers=(
            _encoder(is_gated=False),
            _encoder(is_gated=True),
            _decoder(is_gated=False),
            _decoder(is_gated=True),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "encoder.embed_tokens",
            Site.ENCODER_NORM: "encoder.final_layer_norm",
            Site.FINAL_NORM: "decoder.final_layer_norm",
        },
        embeddings="encoder.embed_tokens",
        has_types=False,
        positions=Positions(table=None),
        summary="eos",
        call=call_t5,
    ),
)
