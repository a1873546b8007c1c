"""ESM, the protein language models: pre-LN, rotary or absolute positions, its own mask rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.families.bert import BERT_LAYERS, PRE_NORM_MODULES
from adapter_runtime.backbone.rows import IS_PROMPTED, Architecture, Layers, Positions, numbered
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sites import Site

_TRAINED_MASKS = 0.15 * 0.8
"""The share of masked tokens in training, as transformers has it."""


def call_esm(model: Any, inputs: Mapping[str, Any], spans: RowSpans) -> Tensor:
    """The final states; the model's own embeddings count masks over a whole stream."""
    block, ids = model.embeddings, inputs["input_ids"]
    vectors = given = block.word_embeddings(ids)
    if block.token_dropout:
        vectors = _compensated(vectors, ids == block.mask_token_id, spans)
    embedded = block(inputs_embeds=vectors, position_ids=inputs["position_ids"])
    if IS_PROMPTED in inputs:
        # Vectors that are given from outside pass the embedding block by.
        embedded = embedded.where(~inputs[IS_PROMPTED].bool().unsqueeze(-1), given)
    places = torch.cat([torch.arange(length, device=ids.device) for length in spans.lengths])
    states: Tensor = model(inputs_embeds=embedded, position_ids=places.unsqueeze(0))[0]
    return states


def _compensated(vectors: Tensor, is_mask: Tensor, spans: RowSpans) -> Tensor:
    """Masks as zeros, and each row scaled by how many of its tokens they leave."""
    share = spans.mean(is_mask.view(-1, 1).to(vectors.dtype))
    left = (1 - share)[spans.on(share.device).token_rows].view(1, -1, 1)
    return vectors.masked_fill(is_mask.unsqueeze(-1), 0.0) * (1 - _TRAINED_MASKS) / left


ESM = (
    Architecture(
        model_types=("esm",),
        prefix="esm",
        layers=(
            Layers(
                paths=numbered("encoder.layer.{}"),
                modules={
                    Site.ATTENTION_INPUT_NORM: "attention.LayerNorm",
                    **PRE_NORM_MODULES,
                },
                blocks={},
                adapter_paths={},
                attentions=BERT_LAYERS.attentions,
            ),
        ),
        outside={
            Site.WORD_EMBEDDINGS: "embeddings.word_embeddings",
            Site.POSITION_EMBEDDINGS: "embeddings.position_embeddings",
            Site.EMBEDDINGS_NORM: "embeddings.layer_norm",
            Site.FINAL_NORM: "encoder.emb_layer_norm_after",
            Site.POOLER: "pooler.dense",
            # No forward runs it, yet some checkpoints train it.
            Site.CONTACTS: "contact_head.regression",
        },
        has_types=False,
        positions=Positions(table=None, after_pad=True),
        call=call_esm,
        marks_prompted=True,
    ),
)
