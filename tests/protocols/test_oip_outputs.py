"""Answers of every kind as typed tensors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter_runtime import (
    AnswerSpan,
    ChoiceScore,
    EntityGroup,
    InvalidInput,
    Kind,
    LabelScore,
    Residency,
    Timing,
    TokenEntity,
)
from adapter_runtime.heads.answers import GeneratedText, MaskFill, ParsedWord
from serving.protocols.oip_inputs import REQUIRED
from serving.protocols.oip_outputs import OUTPUTS, columns_of, tensors_of
from serving.service import Answer

A, B = LabelScore("a", 0.75), LabelScore("b", 0.25)
FILL = MaskFill(0.5, 7, "cat", "the cat")
PAIR = {"source_sentence": "x", "sentences": ["y"]}
TENSORS: tuple[tuple[Kind, tuple[Any, ...], dict[str, tuple[list[int], list[Any]]]], ...] = (
    (
        Kind.TEXT_CLASSIFICATION,
        ([A, B], [B, A]),
        {
            "label": ([2], ["a", "b"]),
            "score": ([2], [0.75, 0.25]),
            "labels": ([2, 2], ["a", "b", "b", "a"]),
            "scores": ([2, 2], [0.75, 0.25, 0.25, 0.75]),
        },
    ),
    (
        Kind.TOKEN_CLASSIFICATION,
        ([TokenEntity("N", 0.5, 1, "cat", 0, 3)], [], [EntityGroup("V", 0.25, "runs", 4, 8)]),
        {
            "entity": ([2], ["N", "V"]),
            "score": ([2], [0.5, 0.25]),
            "word": ([2], ["cat", "runs"]),
            "start": ([2], [0, 4]),
            "end": ([2], [3, 8]),
            "count": ([3], [1, 0, 1]),
        },
    ),
    (
        Kind.QUESTION_ANSWERING,
        (AnswerSpan(0.5, 2, 5, "cat"), [AnswerSpan(0.25, 0, 1, "a"), AnswerSpan(0.1, 0, 2, "b")]),
        {
            "answer": ([2], ["cat", "a"]),
            "score": ([2], [0.5, 0.25]),
            "start": ([2], [2, 0]),
            "end": ([2], [5, 1]),
        },
    ),
    (
        Kind.MULTIPLE_CHOICE,
        ([ChoiceScore("b", 0.75, 1), ChoiceScore("a", 0.25, 0)],),
        {
            "label": ([1], ["b"]),
            "index": ([1], [1]),
            "score": ([1], [0.75]),
            "labels": ([1, 2], ["b", "a"]),
            "indices": ([1, 2], [1, 0]),
            "scores": ([1, 2], [0.75, 0.25]),
        },
    ),
    (
        Kind.FEATURE_EXTRACTION,
        ([0.5, 1.0], [0.25, 0.0]),
        {"embedding": ([2, 2], [0.5, 1.0, 0.25, 0.0])},
    ),
    (
        Kind.FILL_MASK,
        ([FILL, FILL],),
        {
            "token": ([1, 2], [7, 7]),
            "token_str": ([1, 2], ["cat", "cat"]),
            "score": ([1, 2], [0.5, 0.5]),
            "sequence": ([1, 2], ["the cat", "the cat"]),
        },
    ),
    (Kind.TEXT_GENERATION, ([GeneratedText("x")],), {"generated_text": ([1], ["x"])}),
    (
        Kind.DEPENDENCY_PARSING,
        ([ParsedWord("a", 2, "det", 0.5), ParsedWord("b", 0, "root", 0.25)],),
        {
            "word": ([2], ["a", "b"]),
            "head": ([2], [2, 0]),
            "label": ([2], ["det", "root"]),
            "score": ([2], [0.5, 0.25]),
            "count": ([1], [2]),
        },
    ),
)


def answer(kind: Kind, *outputs: Any) -> Answer:
    """An answer of a kind."""
    return Answer(outputs, kind, "1", Residency.DEVICE, Timing())


@pytest.mark.parametrize(("kind", "outputs", "expected"), TENSORS, ids=lambda one: str(one)[:24])
def test_answers_become_the_tensors_that_metadata_promises(
    kind: Kind, outputs: tuple[Any, ...], expected: dict[str, tuple[list[int], list[Any]]]
) -> None:
    """Every output, in order, with its datatype and shape; and all of it as JSON."""
    found = tensors_of(answer(kind, *outputs), ["a text"] * len(outputs))
    promised = columns_of(kind)
    assert (
        [one.name for one in found] == [column.name for column in promised] == [*expected, "json"]
    )
    for tensor, column in zip(found, promised, strict=True):
        assert tensor.datatype == column.datatype
        assert len(tensor.shape) == column.num_dimensions
    shown = {one.name: (list(one.shape), one.data) for one in found[:-1]}
    assert shown == expected
    assert found[-1].shape == (len(outputs),)
    assert all(json.loads(text) is not None for text in found[-1].data)


def test_every_kind_has_inputs_and_outputs() -> None:
    """A new kind needs a row in both tables."""
    assert set(OUTPUTS) == set(REQUIRED) == set(Kind)


@pytest.mark.parametrize("kind", (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY))
def test_comparisons_of_sentences_have_an_output_of_their_own(kind: Kind) -> None:
    """An embedding task answers both, told apart by the input."""
    found = tensors_of(answer(kind, [0.5, 0.25]), [PAIR])
    assert [one.name for one in found] == ["similarity", "json"]
    mixed = tensors_of(answer(kind, [0.5], [0.25]), [PAIR, "a text"])
    assert [one.name for one in mixed] == ["json"]


def test_rows_of_different_lengths_are_no_table() -> None:
    """They stay in the JSON; whoever asks for the table by name is told."""
    uneven = answer(
        Kind.MULTIPLE_CHOICE, [ChoiceScore("a", 1.0, 0)], [ChoiceScore("b", 0.5, 1)] * 2
    )
    names = [one.name for one in tensors_of(uneven, ["", ""])]
    assert names == ["label", "index", "score", "json"]
    with pytest.raises(InvalidInput, match="scores has rows of different lengths"):
        tensors_of(uneven, ["", ""], ("scores",))


def test_a_text_with_several_masks_is_answered_in_json() -> None:
    """One list per mask is no table."""
    found = tensors_of(answer(Kind.FILL_MASK, [[FILL], [FILL]]), ["a text"])
    assert [one.name for one in found] == ["json"]
    assert len(json.loads(found[0].data[0])) == 2


def test_requested_outputs_come_in_the_order_asked() -> None:
    """And nothing else; one that the kind has not is named."""
    made = answer(Kind.TEXT_CLASSIFICATION, [A, B])
    names = [one.name for one in tensors_of(made, ["a"], ("scores", "label"))]
    assert names == ["scores", "label"]
    with pytest.raises(InvalidInput, match=r"'embedding' is no output here; there are label, "):
        tensors_of(made, ["a"], ("embedding",))
