"""Plug points: the places in a backbone where Parts act."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Site(StrEnum):
    """A kind of plug point, named alike on every architecture."""

    WORD_EMBEDDINGS = "word_embeddings"
    POSITION_EMBEDDINGS = "position_embeddings"
    TYPE_EMBEDDINGS = "type_embeddings"
    EMBEDDINGS_NORM = "embeddings_norm"
    EMBEDDINGS = "embeddings"
    DECODER_EMBEDDINGS_NORM = "decoder_embeddings_norm"
    EMBEDDINGS_PROJECTION = "embeddings_projection"
    ATTENTION_INPUT_NORM = "attention_input_norm"
    QKV = "qkv"
    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    QUERY_SHIFT = "query_shift"
    VALUE_SHIFT = "value_shift"
    CONVOLUTION = "convolution"
    CONVOLUTION_NORM = "convolution_norm"
    RELATIVE_NORM = "relative_norm"
    RELATIVE_KEY = "relative_key"
    RELATIVE_QUERY = "relative_query"
    KEYS_VALUES = "keys_values"
    ATTENTION_OUT = "attention_out"
    ATTENTION = "attention"
    ATTENTION_NORM = "attention_norm"
    CROSS_INPUT_NORM = "cross_input_norm"
    CROSS_QUERY = "cross_query"
    CROSS_KEY = "cross_key"
    CROSS_VALUE = "cross_value"
    CROSS_KEYS_VALUES = "cross_keys_values"
    CROSS_OUT = "cross_out"
    CROSS = "cross"
    CROSS_NORM = "cross_norm"
    FFN_INPUT_NORM = "ffn_input_norm"
    FFN_GATE = "ffn_gate"
    FFN_IN = "ffn_in"
    FFN_OUT = "ffn_out"
    FFN = "ffn"
    FFN_NORM = "ffn_norm"
    LAYER = "layer"
    ENCODER_NORM = "encoder_norm"
    FINAL_NORM = "final_norm"
    CONTACTS = "contacts"
    POOLER = "pooler"
    VOCABULARY = "vocabulary"


SUBLAYER_SITES = frozenset({Site.ATTENTION, Site.CROSS, Site.FFN})
"""Where a sublayer ends: residual sum and, in post-LN models, LayerNorm."""
ATTENTION_SITES = frozenset({Site.KEYS_VALUES, Site.CROSS_KEYS_VALUES})
"""Where keys and values are put before a row's own."""
EMBEDDING_SITES = frozenset({Site.WORD_EMBEDDINGS, Site.POSITION_EMBEDDINGS, Site.TYPE_EMBEDDINGS})
"""Where a table is read: what comes in are ids of its rows."""
MODEL_LEVEL = -1
"""The layer number of points outside the layers (embeddings, pooler)."""


class PlugPoint(NamedTuple):
    """One place in the backbone where Parts act; `layer` is `MODEL_LEVEL` outside the layers."""

    layer: int
    site: Site

    def __str__(self) -> str:
        return self.site if self.layer == MODEL_LEVEL else f"{self.layer}.{self.site}"
