"""Text in, typed answers out: equal to the hub's pipelines, window by window, span by span."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.heads.table import HEADS
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import HeadWeights, Limits, Overflow
from tests.goldens.heads.backbones import FAMILIES, HAS_TYPES
from tests.heads.plain import plain_model, run_head, states_of, static_head

GOLDENS = Path(__file__).parent.parent / "goldens" / "heads"
PIPELINES: dict[str, dict[str, Any]] = json.loads((GOLDENS / "pipelines.json").read_text("utf-8"))
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC")
SCORE_TOLERANCE = 1e-5


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """One of the small tokenizers."""
    model_type = PIPELINES[name]["model_type"]
    folder = Folder(GOLDENS / name, name)
    return Tokenizer.from_folder(folder, model_type, 64, model_type in HAS_TYPES)


def calls(task: str) -> list[Any]:
    """Every golden call of a task over all tokenizers."""
    return [
        pytest.param(name, call, id=f"{name}-{number}")
        for name, goldens in PIPELINES.items()
        for number, call in enumerate(goldens[task])
    ]


def answer(
    name: str,
    head: HeadWeights,
    inputs: Any,
    parameters: Mapping[str, Any],
    overflow: Overflow | None = None,
) -> Any:
    """Encode, run on the plain backbone, decode."""
    kind, goldens = HEADS[head.spec.head_type], PIPELINES[name]
    limits = Limits(None, overflow)
    encoded = kind.encode(head.spec, inputs, parameters, tokenizer_of(name), limits)
    model = plain_model(goldens["model_type"], goldens["vocab_size"])
    outcomes = run_head(head, states_of(model, encoded.rows), raw=False)
    return kind.decode(head.spec, encoded, outcomes)


def check_equal(expected: Any, found: Any) -> None:
    """The same answers in the same order; scores within the tolerance, all else exactly."""
    expected, found = ([value] if isinstance(value, dict) else value for value in (expected, found))
    assert len(expected) == len(found)
    for wanted, given in zip(expected, found, strict=True):
        assert wanted | {"score": 0} == given | {"score": 0}
        assert min(wanted["score"], 1.0) == pytest.approx(given["score"], abs=SCORE_TOLERANCE)


def as_dicts(found: Any) -> Any:
    """Typed answers as the wire shows them."""
    return [asdict(item) for item in found] if isinstance(found, list) else asdict(found)


@pytest.mark.parametrize(("name", "call"), calls("encodings"))
def test_tokens_equal_the_fast_tokenizers(name: str, call: dict[str, Any]) -> None:
    """Ids, offsets and types of truncated texts and pairs are those of transformers 4."""
    tokenizer = tokenizer_of(name)
    tokens, _ = tokenizer.encode(call["text"], call["pair"], call["max_tokens"])
    row = tokenizer.row(tokens)
    assert call["ids"] == list(row.input_ids)
    assert call["offsets"] == [list(span) for span in tokens.offsets]
    if tokenizer.has_types:
        assert call["types"] == list(row.type_ids or [0] * len(row.input_ids))


@pytest.mark.parametrize(("name", "call"), calls("token-classification"))
def test_entities_equal_the_pipelines(name: str, call: dict[str, Any]) -> None:
    """Every aggregation strategy gives the same words, offsets, labels and scores."""
    family = FAMILIES[PIPELINES[name]["model_type"]]
    head = static_head(f"{family}ForTokenClassification", TAGS)
    overflow = Overflow.TRUNCATE if call.get("cut") else None
    found = answer(name, head, call["text"], call["parameters"], overflow)
    check_equal(call["answer"], as_dicts(found))


@pytest.mark.parametrize(("name", "call"), calls("question-answering"))
def test_spans_equal_the_pipelines(name: str, call: dict[str, Any]) -> None:
    """Short and long contexts give the same answers, offsets and scores."""
    family = FAMILIES[PIPELINES[name]["model_type"]]
    head = static_head(f"{family}ForQuestionAnswering", ())
    inputs = {"question": call["question"], "context": call["context"]}
    check_equal(call["answer"], as_dicts(answer(name, head, inputs, call["parameters"])))


@pytest.mark.parametrize(("name", "call"), calls("text-classification"))
def test_labels_equal_the_pipelines(name: str, call: dict[str, Any]) -> None:
    """Texts and pairs give the same labels, sorted, with the same scores."""
    family = FAMILIES[PIPELINES[name]["model_type"]]
    labels = [f"LABEL_{number}" for number in range(call["num_labels"])]
    head = static_head(f"{family}ForSequenceClassification", labels)
    check_equal(call["answer"], as_dicts(answer(name, head, call["inputs"], call["parameters"])))
