"""Long texts whose answers stand in places: masks, next tokens, parses, with offsets kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapter_runtime import (
    Encoded,
    HeadSpec,
    InvalidInput,
    Limits,
    Overflow,
    RejectedAdapter,
    TaskVersion,
    TooLong,
)
from adapter_runtime.heads.dependency_parsing import ParsingSettings
from adapter_runtime.heads.sentences import split_sentences
from adapter_runtime.heads.table import HEADS
from tests.goldens.heads.texts import SENTENCES
from tests.heads.folders import answer, engine_on, saved, task_on
from tests.heads.plain import static_head
from tests.heads.test_pipeline_answers import PIPELINES, tokenizer_of

WINDOW = Limits(16, Overflow.WINDOW)
PARSER = HeadSpec("dependency_parsing", ParsingSettings(1), ("dep",))


@pytest.fixture(scope="module")
def filler() -> TaskVersion:
    """A fill-mask task whose rows hold 16 tokens."""
    limits = {"max_tokens": 16, "overflow": "window"}
    return task_on(
        engine_on("bert", "wordpiece"), saved("bert", "wordpiece"), kind="fill-mask", limits=limits
    )


def fill(version: TaskVersion, text: str, **parameters: Any) -> Any:
    """The fills of a text."""
    return answer(engine_on("bert", "wordpiece"), version, text, **parameters)


def masked(*places: int, length: int = 60) -> str:
    """A text of so many tokens, masked at some."""
    return " ".join("[MASK]" if place in places else "a" for place in range(length))


def rows_of(version: TaskVersion, text: str) -> Encoded:
    """The rows that fill a text's masks."""
    return engine_on("bert", "wordpiece").encode(version, text, {})


@pytest.mark.parametrize(
    ("place", "start"), ((0, 0), (9, 0), (11, 7), (16, 7), (17, 7), (18, 14), (59, 49))
)
def test_a_mask_is_filled_by_the_window_that_shows_most_around_it(
    filler: TaskVersion, place: int, start: int
) -> None:
    """Of windows of 14 tokens that begin every 7; the text's own ends cut nothing off."""
    (row,) = rows_of(filler, masked(place)).rows
    assert (place - start + 1,) == row.word_starts
    assert min(14, 60 - start) + 2 == len(row.input_ids)


def test_masks_far_apart_are_filled_in_the_order_of_the_text(filler: TaskVersion) -> None:
    """Each as in a text that is only its window; windows without a mask are not run."""
    found = fill(filler, masked(2, 32, 34), top_k=2)
    assert 2 == len(rows_of(filler, masked(2, 32, 34)).rows)
    first, others = masked(2, length=14), masked(4, 6, length=14)
    for fills, alone in zip(found, (fill(filler, first), *fill(filler, others)), strict=True):
        for one, other in zip(fills, alone, strict=False):
            assert (one.token_str, one.sequence) == (other.token_str, other.sequence)
            assert one.score == pytest.approx(other.score, abs=1e-6)


def test_a_long_text_without_a_mask_says_so(filler: TaskVersion) -> None:
    """As a short one does."""
    with pytest.raises(Exception, match=r"no mask; write \[MASK\]"):
        fill(filler, masked())


def test_a_text_that_is_cut_before_its_mask_says_so() -> None:
    """It has one, so to ask for one would help nobody."""
    engine, folder = engine_on("bert", "wordpiece"), saved("bert", "wordpiece")
    version = task_on(engine, folder, kind="fill-mask", limits={"max_tokens": 16})
    with pytest.raises(InvalidInput, match=r"was cut, holds no \[MASK\].*overflow: window"):
        answer(engine, version, masked(40))
    assert answer(engine, version, masked(4, 40))


def test_an_encoder_decoder_cuts_or_refuses_long_texts_and_has_no_windows() -> None:
    """What it is told to do stands at the start, which is kept, with the end's own token."""
    engine, folder = engine_on("t5", "bpe"), saved("t5", "bpe")
    text = " ".join(["The old dog sleeps in the garden."] * 9)
    cut, refused = (
        task_on(engine, folder, kind="text-generation", limits={"max_tokens": 16, "overflow": rule})
        for rule in ("truncate", "reject")
    )
    encoded, whole = engine.encode(cut, text, {}), engine.backbone.tokenizer.encode(text)[0].ids
    assert (*whole[:15], whole[-1]) == encoded.rows[0].input_ids
    assert encoded.truncated
    assert 1 == len(answer(engine, cut, text))
    with pytest.raises(TooLong, match="the limit is 16"):
        engine.encode(refused, text, {})
    limits = {"max_tokens": 16, "overflow": "window"}
    with pytest.raises(RejectedAdapter, match="can truncate, reject long inputs, not window"):
        task_on(engine, folder, kind="text-generation", limits=limits)


def test_a_decoder_reads_the_last_tokens_of_a_long_text() -> None:
    """What comes next comes behind the end; the answer says that the start was cut off."""
    engine = engine_on("gpt2", "bpe")
    limits = {"max_tokens": 16, "overflow": "window"}
    version = task_on(engine, saved("gpt2", "bpe"), kind="text-generation", limits=limits)
    text = " ".join(["The old dog sleeps in the garden."] * 9)
    encoded = engine.encode(version, text, {})
    whole = engine.backbone.tokenizer.encode(text)[0].ids
    assert (whole[0], *whole[-15:]) == encoded.rows[0].input_ids
    assert encoded.truncated
    assert 1 == len(answer(engine, version, text))


@pytest.mark.parametrize("name", PIPELINES)
def test_each_token_of_a_long_text_is_told_once(name: str) -> None:
    """Also of characters that are several tokens, and of marks without a character."""
    tokenizer, kind = tokenizer_of(name), HEADS["tagging"]
    text = "Ω 北京 in Köln 😀... " * 12
    head = static_head("BertForTokenClassification", ("O", "B-LOC"))
    known = {"ignore_labels": [], "aggregation_strategy": "none"}
    encoded = kind.encode(head.spec, text, known, tokenizer, Limits())
    whole = tokenizer.encode(text)[0]
    content = [n for n, is_special in enumerate(whole.specials) if not is_special]
    outcomes, sure = [], 0.0
    for tokens in encoded.context.windows:
        sure += 1.0  # later windows are surer
        outcomes.append({"logits": np.array([[0.0, sure]] * len(tokens), np.float32)})
    found = kind.decode(head.spec, encoded, outcomes)
    assert len(outcomes) > 2
    assert content == [one.index for one in found]
    assert [whole.offsets[n] for n in content] == [(one.start, one.end) for one in found]
    last = encoded.context.windows[-1]
    assert {max(one.score for one in found)} == {
        one.score for one in found if one.index > last.first
    }


def parse(words: list[str], most: int = 16) -> Encoded:
    """The rows of words."""
    kind, limits = HEADS["dependency_parsing"], Limits(most, Overflow.WINDOW)
    return kind.encode(PARSER, {"words": words}, {}, tokenizer_of("wordpiece"), limits)


def test_a_long_parse_is_cut_where_sentences_end() -> None:
    """As many whole sentences to a row as fit; each row is that of its sentences alone."""
    first, second = [*"aaaaa.a(a.)"], [*"aaaaaa!a"]
    encoded = parse(first + second)
    assert [11, 8] == [len(words) for words in encoded.context]
    assert parse(first).rows + parse(second).rows == encoded.rows


def test_heads_of_words_are_numbered_through_the_whole_text() -> None:
    """The root stays 0 in every sentence."""
    encoded = parse(["a"] * 10 + ["."] + ["b"] * 9 + ["."])
    outcomes = []
    for words in encoded.context:
        arcs = np.zeros((len(words), len(words) + 1), np.float32)
        arcs[0, 0] = arcs[1:, 1] = 9.0  # the first word governs the others
        outcomes.append({"arcs": arcs, "rels": np.zeros((*arcs.shape, 1), np.float32)})
    found = HEADS["dependency_parsing"].decode(PARSER, encoded, outcomes)
    assert [0, *[1] * 10, 0, *[12] * 9] == [word.head for word in found]
    assert ["a"] * 10 + ["."] + ["b"] * 9 + ["."] == [word.word for word in found]


def test_a_sentence_that_does_not_fit_is_refused_with_the_remedy() -> None:
    """No rule of ours may cut a sentence."""
    with pytest.raises(TooLong, match=r"21 tokens begins at word 2, one may have 14; end sentence"):
        parse(["a", ".", *["a"] * 20, "."])


@pytest.mark.parametrize(
    ("text", "ends"),
    (
        ("a b .", [3]),
        ('a b . " c ?', [4, 6]),
        ("He left.” She stayed!) So", [2, 4, 5]),
        ("\" ' a .", [4]),
    ),
)
def test_sentences_take_the_quotes_that_they_close_along(text: str, ends: list[int]) -> None:
    """Where there is room for one sentence only."""
    words = tuple(text.split())
    parts = split_sentences(words, [1] * len(words), max(ends[0], 4) if len(ends) < 3 else 2)
    assert words == tuple(word for part in parts for word in part)
    assert ends == list(np.cumsum([len(part) for part in parts]))


FITTING: tuple[tuple[str, Any], ...] = (
    ("multiple_choice", {"context": SENTENCES[0], "choices": ["a", "a bridge"]}),
    ("embedding", SENTENCES[0]),
    ("embedding", {"source_sentence": "a", "sentences": [SENTENCES[0], "b"]}),
    ("masked_lm", "The [MASK] of a [MASK]."),
    ("causal_lm", SENTENCES[0]),
    ("dependency_parsing", {"words": ["It", "is", "so", ".", "No", "!"]}),
    ("zero_shot_classification", {"text": SENTENCES[0], "candidate_labels": ["a", "b"]}),
    ("text_ranking", {"query": "a", "texts": ["a bridge", "b"]}),
)


@pytest.mark.parametrize(("head_type", "inputs"), FITTING)
def test_what_fits_makes_the_rows_of_before_whatever_the_rule(head_type: str, inputs: Any) -> None:
    """Nothing is known of windows where none are needed."""
    kind, spec = HEADS[head_type], HeadSpec(head_type, None)
    tokenizer = tokenizer_of("wordpiece")
    before, after = (
        kind.encode(spec, inputs, {}, tokenizer, Limits(None, overflow))
        for overflow in (Overflow.TRUNCATE, Overflow.WINDOW)
    )
    assert before.rows == after.rows
    assert (False, False) == (before.truncated, after.truncated)
