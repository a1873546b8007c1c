"""The tiny backbones and inputs of the head goldens, for the generators and for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from tests.goldens.filling import draw

SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}
_ROBERTA = SIZES | {"type_vocab_size": 1, "max_position_embeddings": 66, "pad_token_id": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "electra": SIZES | {"embedding_size": 16},
    "distilbert": {
        "vocab_size": 99,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": 64,
    },
    "mpnet": SIZES | {"pad_token_id": 1, "max_position_embeddings": 66},
}
FAMILIES = {
    "bert": "Bert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "electra": "Electra",
    "distilbert": "DistilBert",
    "mpnet": "MPNet",
}
HAS_TYPES = frozenset({"bert", "electra"})

ROWS = ((2, 11, 45, 7, 98, 31, 3), (2, 64, 23, 3, 50, 3))
TYPES = ((0, 0, 0, 0, 1, 1, 1), (0, 0, 0, 0, 1, 1))
"""Two rows of different lengths; pairs where the architecture knows token types."""


def values(name: str, shape: Sequence[int]) -> Tensor:
    """A head tensor's values by its name in the file."""
    return draw(name, tuple(shape), 0.3)
