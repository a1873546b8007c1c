"""New heads with the library's random start: words and parses; the others are in `heads_write`.

Source: `add_masked_lm_head` and its siblings in `adapters` 1.3.0 `heads/model_mixin.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.build import default_labels, head_digest
from adapter_runtime.checkpoint.heads.flex import language_settings
from adapter_runtime.checkpoint.heads.parsing import PARSING
from adapter_runtime.errors import SettingsError
from adapter_runtime.heads.dependency_parsing import ParsingSettings, parsing_shapes
from adapter_runtime.heads.language import language_shapes
from adapter_runtime.types import HeadSpec, HeadWeights

_INIT_STD = 0.02


def new_language_head(
    name: str,
    head_type: str,
    settings: Mapping[str, Any],
    facts: BackboneFacts,
    generator: torch.Generator | None = None,
) -> HeadWeights:
    """A freshly initialised language model head over the backbone's own words.

    Args:
        name: the head's name.
        head_type: `masked_lm`, `causal_lm` or `seq2seq_lm`.
        settings: `layers`, `activation_function`, `layer_norm`, `bias`.
        facts: the backbone; where its words are tied, so is the head's vocabulary.
        generator: where the random numbers come from.

    Raises:
        RejectedAdapter: a setting is out of range.
    """
    made = language_settings({**settings, "head_type": head_type}, facts, name)
    if made.layers == 1:
        made = replace(made, width=facts.hidden_size)
    matrix = facts.word_embeddings() if facts.word_embeddings is not None else None
    is_tied = facts.config.get("tie_word_embeddings", True) is not False
    made = replace(made, is_tied=is_tied and matrix is not None and matrix.shape[1] == made.width)
    tensors = _fresh(language_shapes(made, facts.hidden_size), generator)
    return HeadWeights(HeadSpec(head_type, made, (), _digest(name, made, tensors), name), tensors)


def new_parsing_head(
    name: str,
    num_labels: int,
    labels: Sequence[str] | None,
    facts: BackboneFacts,
    generator: torch.Generator | None = None,
) -> HeadWeights:
    """A freshly initialised dependency parsing head.

    Args:
        name: the head's name.
        num_labels: relations.
        labels: their names by id; `LABEL_i` by default.
        facts: the backbone.
        generator: where the random numbers come from.

    Raises:
        SettingsError: there are more or fewer names than relations.
    """
    names = tuple(labels or default_labels(num_labels))
    if len(names) != num_labels:
        raise SettingsError(f"id2label names {len(names)} labels, num_labels is {num_labels}.")
    pad = facts.config.get("pad_token_id")
    settings = ParsingSettings(num_labels, pad if isinstance(pad, int) else None)
    tensors = _fresh(parsing_shapes(settings, facts.hidden_size), generator)
    digest = _digest(name, (settings, names), tensors)
    return HeadWeights(HeadSpec(PARSING, settings, names, digest, name), tensors)


def _fresh(
    shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator | None
) -> dict[str, Tensor]:
    """Weights N(0, 0.02), biases 0, norms 1."""
    tensors = {}
    for key, shape in shapes.items():
        tensors[key] = torch.zeros(shape)
        if key.endswith(".norm.weight"):
            tensors[key].fill_(1.0)
        elif not key.endswith("bias"):
            tensors[key].normal_(0.0, _INIT_STD, generator=generator)
    return tensors


def _digest(name: str, settings: Any, tensors: Mapping[str, Tensor]) -> str:
    content = [tensor.numpy().tobytes() for tensor in tensors.values()]
    return head_digest(name, settings, *content)
