"""Configurations of the tiny backbones that every golden stands on."""

from __future__ import annotations

from typing import Any

_COMMON: dict[str, Any] = {"vocab_size": 99, "max_position_embeddings": 64}
_BERT: dict[str, Any] = _COMMON | {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
_ROBERTA: dict[str, Any] = _BERT | {"type_vocab_size": 1, "pad_token_id": 1}

CONFIGS: dict[str, dict[str, Any]] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": _COMMON | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "electra": _BERT | {"embedding_size": 16},
    "mpnet": _BERT | {"pad_token_id": 1, "relative_attention_num_buckets": 8},
}
PREFIXES = {
    "bert": "bert",
    "roberta": "roberta",
    "xlm-roberta": "roberta",
    "distilbert": "distilbert",
    "electra": "electra",
    "mpnet": "mpnet",
}
HAS_TYPES = frozenset({"bert", "electra"})
