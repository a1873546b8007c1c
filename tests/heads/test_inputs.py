"""What bad input is told: the field that is wrong, never a stack trace."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Encoded, HeadSpec, Limits, Overflow
from tests.goldens.heads.texts import LONG
from tests.heads.plain import static_head
from tests.heads.test_pipeline_answers import TAGS, tokenizer_of

SPECS: dict[str, HeadSpec] = {
    "classification": static_head("BertForSequenceClassification", ("no", "yes")).spec,
    "tagging": static_head("BertForTokenClassification", TAGS).spec,
    "question_answering": static_head("BertForQuestionAnswering", ()).spec,
    "multiple_choice": static_head("BertForMultipleChoice", ()).spec,
}
QUESTION = {"question": "Who?", "context": "Walter did."}


def encode(head_type: str, inputs: Any, limits: Limits | None = None, **parameters: Any) -> Encoded:
    """Encode with the WordPiece tokenizer, whose rows hold 64 tokens."""
    spec, tokenizer = SPECS[head_type], tokenizer_of("wordpiece")
    return HEADS[head_type].encode(spec, inputs, parameters, tokenizer, limits or Limits())


@pytest.mark.parametrize(
    ("head_type", "inputs", "field"),
    (
        ("classification", "", "inputs"),
        ("classification", "  \n", "inputs"),
        ("classification", 7, "inputs"),
        ("classification", None, "inputs"),
        ("classification", ["a", "b"], "inputs"),
        ("classification", "half \ud800 a character", "inputs"),
        ("classification", {"txt": "a"}, "inputs.text"),
        ("classification", {"text": "a", "pair": "b"}, "inputs.pair"),
        ("classification", {"text": "a", "text_pair": ""}, "inputs.text_pair"),
        ("tagging", {"text": "a"}, "inputs"),
        ("question_answering", "Who?", "inputs"),
        ("question_answering", {"question": "Who?"}, "inputs.context"),
        ("question_answering", QUESTION | {"context": " "}, "inputs.context"),
        ("question_answering", QUESTION | {"question": LONG}, "inputs.question"),
        ("multiple_choice", {"context": "a", "choices": "b"}, "inputs.choices"),
        ("multiple_choice", {"context": "a", "choices": []}, "inputs.choices"),
        ("multiple_choice", {"context": "a", "choices": ["b", 3]}, "inputs.choices[1]"),
    ),
)
def test_wrong_inputs_name_their_field(head_type: str, inputs: Any, field: str) -> None:
    """The error says which member is wrong."""
    with pytest.raises(InvalidInput) as caught:
        encode(head_type, inputs)
    assert field == caught.value.field


@pytest.mark.parametrize(
    ("head_type", "name", "value"),
    (
        ("classification", "topk", 1),
        ("classification", "top_k", 0),
        ("classification", "top_k", True),
        ("classification", "top_k", "2"),
        ("classification", "function_to_apply", "tanh"),
        ("tagging", "aggregation_strategy", "best"),
        ("tagging", "ignore_labels", "O"),
        ("tagging", "stride", 62),
        ("question_answering", "max_seq_len", 65),
        ("question_answering", "doc_stride", 100),
        ("question_answering", "align_to_words", "yes"),
        ("multiple_choice", "top_k", 1.5),
    ),
)
def test_wrong_parameters_name_themselves(head_type: str, name: str, value: Any) -> None:
    """The error says which parameter is wrong or unknown."""
    inputs: Any = {
        "question_answering": QUESTION,
        "multiple_choice": {"context": "a", "choices": ["b"]},
    }
    with pytest.raises(InvalidInput) as caught:
        encode(head_type, inputs.get(head_type, "a"), **{name: value})
    assert f"parameters.{name}" == caught.value.field


def test_stride_needs_a_strategy_that_joins_windows() -> None:
    """As in the hub's pipeline, bare tokens of overlapping windows are refused."""
    with pytest.raises(InvalidInput, match="stride"):
        encode("tagging", LONG, stride=4, aggregation_strategy="none")


def test_parameters_that_are_null_are_not_given() -> None:
    """Clients send null for what they leave out."""
    assert {} == encode("classification", "a", top_k=None).parameters


def test_long_texts_are_cut_and_say_so() -> None:
    """Truncation keeps the row within the limits and is reported."""
    encoded = encode("classification", LONG, Limits(20))
    assert [20] == [len(row.input_ids) for row in encoded.rows]
    assert encoded.truncated
    assert not encode("classification", "short").truncated


@pytest.mark.parametrize("head_type", ("classification", "tagging", "question_answering"))
def test_a_task_that_rejects_long_texts_does(head_type: str) -> None:
    """The error names the number of tokens and the limit."""
    inputs: Any = QUESTION | {"context": LONG} if head_type == "question_answering" else LONG
    with pytest.raises(TooLong, match="limit is 30"):
        encode(head_type, inputs, Limits(30, Overflow.REJECT))


@pytest.mark.parametrize("head_type", ("tagging", "question_answering"))
def test_token_kinds_window_by_default_and_truncate_when_told(head_type: str) -> None:
    """Nothing of a long text is lost, unless the task says that it may be."""
    inputs: Any = QUESTION | {"context": LONG} if head_type == "question_answering" else LONG
    assert len(encode(head_type, inputs).rows) > 1
    cut = encode(head_type, inputs, Limits(None, Overflow.TRUNCATE))
    assert ([64], True) == ([len(row.input_ids) for row in cut.rows], cut.truncated)


def test_choices_become_pairs_of_any_number() -> None:
    """The request says how many choices there are, whatever the head was trained with."""
    encoded = encode("multiple_choice", {"context": "a bridge", "choices": ["x", "y", "z", "w"]})
    assert 4 == len(encoded.rows)
    assert all(row.type_ids is not None for row in encoded.rows)
