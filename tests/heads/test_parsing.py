"""Dependency parses: words in, heads and relations out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adapter_runtime.errors import InvalidInput
from adapter_runtime.heads.dependency_parsing import ParsingHead, ParsingSettings
from adapter_runtime.types import HeadSpec, Limits, TaskVersion
from tests.heads.folders import answer, engine_on, task_on
from tests.heads.plain import write_folder

RELATIONS = {"nsubj": 0, "det": 1, "root": 2}
WORDS = ["The", "lighthouse", "stands", "."]


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> TaskVersion:
    """A parsing task on the small BERT."""
    folder = tmp_path_factory.mktemp("parser")
    config: dict[str, Any] = {
        "config": {"head_type": "dependency_parsing", "num_labels": 3, "label2id": RELATIONS},
        "model_class": "BertAdapterModel",
        "model_type": "bert",
        "name": "ud",
        "version": "adapters.1.3.0",
    }
    tensors = {
        "heads.ud.biaffine_arcs.weight": torch.randn(1, 33, 32),
        "heads.ud.biaffine_rels.weight": torch.randn(3, 33, 33),
    }
    write_folder(config, tensors, folder / "ud")
    return task_on(engine_on("bert", "wordpiece"), folder, head="ud")


def test_each_word_has_a_head_and_a_relation(parser: TaskVersion) -> None:
    """Heads are numbers of words, 0 is the root."""
    found = answer(engine_on("bert", "wordpiece"), parser, {"words": WORDS})
    assert [word.word for word in found] == WORDS
    assert all(0 <= word.head <= len(WORDS) and word.label in RELATIONS for word in found)
    assert all(0 < word.score <= 1 for word in found)


def test_a_text_is_split_at_its_blanks(parser: TaskVersion) -> None:
    """The same words give the same parse."""
    engine = engine_on("bert", "wordpiece")
    split = answer(engine, parser, {"words": WORDS})
    assert split == answer(engine, parser, " The lighthouse  stands . ")


def test_raw_numbers_are_padded_to_the_tokens(parser: TaskVersion) -> None:
    """As the library gives them; the answer reads the words' part."""
    engine = engine_on("bert", "wordpiece")
    count = len(engine.encode(parser, {"words": WORDS}, {}).rows[0].input_ids)
    raw = answer(engine, parser, {"words": WORDS}, raw=True)["logits"]
    assert np.shape(raw["arcs"]) == (count, count + 1)
    assert np.shape(raw["rels"]) == (count, count + 1, 3)


def test_long_sentences_lose_their_last_words(parser: TaskVersion) -> None:
    """Never half of one silently: the answer has as many words as were read."""
    engine = engine_on("bert", "wordpiece")
    encoded = engine.encode(parser, {"words": ["dog"] * 100}, {})
    assert encoded.truncated
    assert len(answer(engine, parser, {"words": ["dog"] * 100})) == len(encoded.context[0]) < 100


@pytest.mark.parametrize(
    ("inputs", "field"),
    (
        ({"words": []}, "inputs.words"),
        ({"words": ["two words"]}, r"inputs.words\[0\]"),
        ({"words": ["a", "\u200b"]}, r"inputs.words\[1\]"),
        ({"words": ["a"], "more": 1}, "inputs.more"),
        (3, "inputs"),
    ),
)
def test_words_that_cannot_be_read_are_named(parser: TaskVersion, inputs: Any, field: str) -> None:
    """The field and what it should be."""
    with pytest.raises(InvalidInput, match=field):
        engine_on("bert", "wordpiece").encode(parser, inputs, {})


def test_byte_level_words_begin_with_a_blank() -> None:
    """As they do inside a text: byte-level tokenizers tell words by it."""
    tokenizer = engine_on("gpt2", "bpe").backbone.tokenizer
    spec = HeadSpec("dependency_parsing", ParsingSettings(2))
    words = ["old", "dogs", "sleep"]
    (row,) = ParsingHead().encode(spec, {"words": words}, {}, tokenizer, Limits()).rows
    inside = tokenizer.encode(" " + " ".join(words))[0].ids
    assert inside == row.input_ids
    assert row.word_starts is not None
    assert len(row.word_starts) == len(words) + 1
