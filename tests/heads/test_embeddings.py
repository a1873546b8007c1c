"""Vectors: pooling, normalisation, cut dimensions, and the cosine on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from adapter_runtime.backbone.sentence import SentenceSettings
from adapter_runtime.checkpoint.heads.reading import embedding_head
from adapter_runtime.errors import InvalidInput, RejectedAdapter, TooLong
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Limits
from tests.goldens.heads.texts import LONG, SENTENCES
from tests.heads.plain import plain_model, run_head, states_of
from tests.heads.test_pipeline_answers import PIPELINES, tokenizer_of

EMBEDDING = HEADS["embedding"]


def embed(inputs: Any, options: Mapping[str, Any], **parameters: Any) -> np.ndarray:
    """Text to vector on the plain BERT."""
    head = embedding_head(None, options)
    encoded = EMBEDDING.encode(head.spec, inputs, parameters, tokenizer_of("wordpiece"), Limits())
    model = plain_model("bert", PIPELINES["wordpiece"]["vocab_size"])
    outcomes = run_head(head, states_of(model, encoded.rows), raw=False)
    return np.array(EMBEDDING.decode(head.spec, encoded, outcomes))


def hidden(text: str) -> torch.Tensor:
    """The plain model's states of a text."""
    tokenizer = tokenizer_of("wordpiece")
    row = tokenizer.row(tokenizer.encode(text)[0])
    return states_of(plain_model("bert", PIPELINES["wordpiece"]["vocab_size"]), [row]).hidden


def test_mean_cls_and_last_pooling() -> None:
    """The mean runs over all tokens, special ones included; cls is the first token."""
    states = hidden(SENTENCES[0])
    assert states.mean(0).numpy() == pytest.approx(embed(SENTENCES[0], {}), abs=1e-6)
    assert states[0].numpy() == pytest.approx(embed(SENTENCES[0], {"pooling": "cls"}), abs=1e-6)
    assert states[-1].numpy() == pytest.approx(embed(SENTENCES[0], {"pooling": "last"}), abs=1e-6)


def test_normalised_vectors_have_length_one() -> None:
    """By option, by parameter, and after dimensions are cut off."""
    assert 1 == pytest.approx(np.linalg.norm(embed("a", {"normalize": True})), abs=1e-6)
    assert 1 == pytest.approx(np.linalg.norm(embed("a", {}, normalize=True)), abs=1e-6)
    short = embed("a", {"normalize": True}, dimensions=8)
    assert (8, pytest.approx(1, abs=1e-6)) == (len(short), np.linalg.norm(short))
    assert 1 < np.linalg.norm(embed("a", {"normalize": True}, normalize=False))


def test_similarity_is_the_cosine_with_the_source() -> None:
    """Whether or not the vectors are normalised."""
    inputs = {"source_sentence": SENTENCES[0], "sentences": [SENTENCES[0], SENTENCES[1]]}
    one, other = (embed(text, {"normalize": True}) for text in SENTENCES[:2])
    assert [1, one @ other] == pytest.approx(embed(inputs, {}), abs=1e-6)


def test_raw_gives_the_hidden_states() -> None:
    """All tokens of the row, special ones included."""
    head = embedding_head(None, {})
    tokenizer = tokenizer_of("wordpiece")
    encoded = EMBEDDING.encode(head.spec, SENTENCES[0], {}, tokenizer, Limits())
    states = states_of(plain_model("bert", PIPELINES["wordpiece"]["vocab_size"]), encoded.rows)
    raw = EMBEDDING.raw(head.spec, encoded, run_head(head, states))
    assert states.hidden.tolist() == raw["hidden"]


def test_settings_default_to_the_backbones_own() -> None:
    """sentence-transformers files win over nothing, options over them."""
    own = SentenceSettings("cls", normalize=True, max_tokens=None)
    assert "cls" == embedding_head(own, {}).spec.settings.pooling  # type: ignore[attr-defined]
    assert embedding_head(own, {}).spec.settings.normalize  # type: ignore[attr-defined]
    changed = embedding_head(own, {"pooling": "mean", "normalize": False}).spec
    assert changed == embedding_head(None, {}).spec
    with pytest.raises(RejectedAdapter, match="unknown_pooling"):
        embedding_head(SentenceSettings("max", normalize=True, max_tokens=None), {})


def test_the_client_chooses_whether_and_where_to_cut() -> None:
    """`truncate` false refuses, `truncation_direction` left keeps the end."""
    head, tokenizer = embedding_head(None, {}), tokenizer_of("wordpiece")
    with pytest.raises(TooLong):
        EMBEDDING.encode(head.spec, LONG, {"truncate": False}, tokenizer, Limits())
    parameters = {"truncate": True, "truncation_direction": "Left"}
    left = EMBEDDING.encode(head.spec, LONG, parameters, tokenizer, Limits()).rows[0].input_ids
    whole = tokenizer.encode(LONG)[0].ids
    assert (whole[0], *whole[-63:]) == left


@pytest.mark.parametrize(
    ("inputs", "field"),
    (
        ({"source_sentence": "a"}, "inputs.sentences"),
        ({"source_sentence": "a", "sentences": []}, "inputs.sentences"),
        ({"source_sentence": "a", "sentences": ["b", ""]}, "inputs.sentences[1]"),
        ({"source_sentence": 1, "sentences": ["b"]}, "inputs.source_sentence"),
    ),
)
def test_wrong_comparisons_name_their_field(inputs: Any, field: str) -> None:
    """The error says which sentence is wrong."""
    with pytest.raises(InvalidInput) as caught:
        embed(inputs, {})
    assert field == caught.value.field
