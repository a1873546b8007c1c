"""One input never takes more rows, memory or time than it may, and long texts keep their tokens."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.heads.inputs import MAX_ROWS
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Limits, Overflow
from tests.goldens.heads.texts import LONG, SENTENCES
from tests.heads.test_inputs import QUESTION, SPECS, encode
from tests.heads.test_pipeline_answers import PIPELINES, tokenizer_of

VERY_LONG = " ".join([LONG] * 40)
TOO_MANY = ["x"] * (MAX_ROWS + 1)


class CountingTokenizer(Tokenizer):
    """Remembers the texts that it reads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        vars(self).update(vars(tokenizer))
        self.texts: list[str] = []

    def _content(self, text: str) -> Any:
        self.texts.append(text)
        return super()._content(text)

    def _bare_content(self, text: str) -> Any:
        self.texts.append(text)
        return super()._bare_content(text)


def facts(tokens: Tokens) -> tuple[Any, ...]:
    """All that heads read of a row."""
    return (tokens.ids, tokens.types, tokens.offsets, tokens.texts, tokens.words, tokens.first)


@pytest.mark.parametrize("side", ("left", "right"))
@pytest.mark.parametrize("name", PIPELINES)
def test_a_text_read_once_gives_the_rows_of_one_read_each_time(name: str, side: str) -> None:
    """Whichever side is cut, and whether the text or its pair is the longer one."""
    tokenizer, pairs = tokenizer_of(name), (*SENTENCES, LONG, VERY_LONG, SENTENCES[0])
    sided = CountingTokenizer(tokenizer)
    sided._side = side
    for text in (SENTENCES[0], LONG, VERY_LONG):
        for most in (4, 9, 20, 64, 5000):
            found = sided.pairs(text, pairs, most)
            each = [sided.encode(text, pair, most, with_offsets=False) for pair in pairs]
            assert [facts(tokens) for tokens, _ in each] == [facts(tokens) for tokens, _ in found]
            assert [total for _, total in each] == [total for _, total in found]


@pytest.mark.parametrize("side", ("left", "right"))
@pytest.mark.parametrize("name", PIPELINES)
def test_a_first_window_is_the_first_of_all_windows(name: str, side: str) -> None:
    """With the same ids, types and offsets, and the number of tokens that there are."""
    tokenizer = CountingTokenizer(tokenizer_of(name))
    tokenizer._side = side
    for pair in (SENTENCES[0], LONG, VERY_LONG):
        for most in (16, 30, 64):
            found, total = tokenizer.first_window("Who?", pair, most)
            windows = tokenizer.windows("Who?", pair, most, 1)
            assert facts(windows[0]) == facts(found)
            assert (total > most) is (len(windows) > 1)
            assert total == tokenizer.encode("Who?", pair)[1]


def test_the_number_of_windows_is_known_before_they_are_made() -> None:
    """For every overlap, with and without a pair."""
    tokenizer, counted = tokenizer_of("wordpiece"), list[int]()
    for pair in (None, LONG):
        for stride in range(10):
            windows = tokenizer.windows("Who? " if pair else LONG, pair, 20, stride, counted.append)
            assert [len(windows)] == counted[-1:]


def test_a_context_is_read_once_for_all_its_choices() -> None:
    """A long context with many choices costs one tokenisation."""
    tokenizer = CountingTokenizer(tokenizer_of("wordpiece"))
    inputs = {"context": VERY_LONG, "choices": ["x", "y", "z"]}
    kind = HEADS["multiple_choice"]
    encoded = kind.encode(SPECS["multiple_choice"], inputs, {}, tokenizer, Limits())
    assert [VERY_LONG, "x", "y", "z"] == tokenizer.texts
    assert ([64] * 3, True) == ([len(row.input_ids) for row in encoded.rows], encoded.truncated)


def test_a_choice_that_makes_a_pair_too_long_is_named() -> None:
    """Where the task rejects long inputs."""
    inputs = {"context": "a b", "choices": ["x", LONG]}
    with pytest.raises(TooLong) as caught:
        encode("multiple_choice", inputs, Limits(None, Overflow.REJECT))
    assert "inputs.choices[1]" == caught.value.field


def test_lists_of_texts_are_bounded() -> None:
    """Each text is a row; the error names the list and the limit."""
    with pytest.raises(TooLong, match=f"inputs.choices: .*at most {MAX_ROWS}"):
        encode("multiple_choice", {"context": "a", "choices": TOO_MANY})
    inputs = {"source_sentence": "a", "sentences": TOO_MANY}
    with pytest.raises(TooLong, match=f"inputs.sentences: .*at most {MAX_ROWS}"):
        HEADS["embedding"].encode(
            SPECS["classification"], inputs, {}, tokenizer_of("wordpiece"), Limits()
        )


@pytest.mark.parametrize(
    ("head_type", "parameters", "field"),
    (
        ("tagging", {"stride": 61, "aggregation_strategy": "simple"}, "parameters.stride"),
        ("question_answering", {"doc_stride": 57}, "parameters.doc_stride"),
        ("question_answering", {"max_seq_len": 7}, "parameters.doc_stride"),
        ("question_answering", {}, "inputs.context"),
        ("tagging", {}, "inputs"),
    ),
)
def test_too_many_windows_are_refused_before_they_are_made(
    head_type: str, parameters: dict[str, Any], field: str
) -> None:
    """The overlap that the client chose is named, else the text; windows that suffice pass."""
    text = VERY_LONG if parameters else " ".join([VERY_LONG] * 10)
    inputs: Any = QUESTION | {"context": text} if head_type == "question_answering" else text
    with pytest.raises(InvalidInput, match=f"at most {MAX_ROWS}") as caught:
        encode(head_type, inputs, **parameters)
    assert field == caught.value.field


def test_a_task_that_truncates_makes_one_window_however_small() -> None:
    """A tiny max_seq_len makes no row per token."""
    limits = Limits(None, Overflow.TRUNCATE)
    encoded = encode("question_answering", QUESTION | {"context": VERY_LONG}, limits, max_seq_len=7)
    assert ([7], True) == ([len(row.input_ids) for row in encoded.rows], encoded.truncated)
