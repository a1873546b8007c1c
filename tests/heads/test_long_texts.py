"""Long texts in windows: what each window shows, and how windows make one answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapter_runtime.checkpoint.heads.reading import embedding_head
from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.heads.answers import LabelScore
from adapter_runtime.heads.inputs import MAX_ROWS
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Aggregation, Encoded, HeadSpec, Limits, Overflow
from tests.goldens.heads.texts import LONG, SENTENCES
from tests.heads.plain import static_head
from tests.heads.test_pipeline_answers import PIPELINES, tokenizer_of

BERT = "BertForSequenceClassification"
BINARY, SINGLE = (static_head(BERT, labels).spec for labels in (("no", "yes"), ("score",)))
SHORT = "Who is it?"


def windowed(
    most: int = 30, stride: int | None = 4, aggregation: Aggregation | None = None
) -> Limits:
    """Rows of so many tokens, with windows."""
    return Limits(most, Overflow.WINDOW, stride, aggregation)


def encode(
    inputs: Any, limits: Limits, spec: HeadSpec = BINARY, head: str = "classification", **known: Any
) -> Encoded:
    """One input's rows, by the WordPiece tokenizer."""
    return HEADS[head].encode(spec, inputs, known, tokenizer_of("wordpiece"), limits)


def content(name: str, text: str) -> list[int]:
    """A text's tokens without special ones."""
    tokens, _ = tokenizer_of(name).encode(text)
    return [one for one, special in zip(tokens.ids, tokens.specials, strict=True) if not special]


def labels(
    encoded: Encoded,
    logits: list[list[float]],
    spec: HeadSpec = BINARY,
    head: str = "classification",
) -> dict[str, float]:
    """The scores by label that windows of such logits give."""
    outcomes = [{"logits": np.array(row, np.float32)} for row in logits]
    found: list[LabelScore] = HEADS[head].decode(spec, encoded, outcomes)
    assert [item.score for item in found] == sorted((one.score for one in found), reverse=True)
    return {item.label: item.score for item in found}


def test_windows_of_a_text_are_its_tokens_with_an_overlap() -> None:
    """28 tokens between the special ones, the first four of which the window before showed."""
    ids = content("wordpiece", LONG)
    encoded = encode(LONG, windowed())
    whole = tokenizer_of("wordpiece").encode("a")[0].ids
    expected = [(whole[0], *ids[start : start + 28], whole[-1]) for start in range(0, len(ids), 24)]
    assert expected[: len(encoded.rows)] == [row.input_ids for row in encoded.rows]
    assert set(ids) == {one for row in encoded.rows for one in row.input_ids[1:-1]}
    assert not encoded.truncated


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("side", ("text", "text_pair"))
def test_windows_of_a_pair_show_the_longer_text_and_repeat_the_other(name: str, side: str) -> None:
    """Whichever of the two it is; types say which text a token is of, as in a row that fits."""
    tokenizer, kind = tokenizer_of(name), HEADS["classification"]
    other = {"text": "text_pair", "text_pair": "text"}[side]
    encoded = kind.encode(BINARY, {side: LONG, other: SHORT}, {}, tokenizer, windowed())
    ids, repeated = content(name, LONG), content(name, SHORT)
    room = 30 - tokenizer.num_specials(True) - len(repeated)
    for number, row in enumerate(encoded.rows):
        shown = ids[number * (room - 4) :][:room]
        first, second = (shown, repeated) if side == "text" else (repeated, shown)
        assert len(row.input_ids) == tokenizer.num_specials(True) + len(first) + len(second)
        text = " ".join(map(str, row.input_ids))
        assert all(" ".join(map(str, part)) in text for part in (first, second))
        if row.type_ids is not None:
            assert row.type_ids == (0,) * (len(first) + 2) + (1,) * (len(second) + 1)


@pytest.mark.parametrize("inputs", (SHORT, {"text": SHORT, "text_pair": SENTENCES[0]}))
def test_a_text_that_fits_is_the_row_and_the_answer_of_before(inputs: Any) -> None:
    """Bit for bit."""
    before, after = encode(inputs, Limits()), encode(inputs, windowed(64))
    assert before.rows == after.rows
    logits = [[0.3, -1.7]]
    assert labels(before, logits) == labels(after, logits)


def test_scores_of_windows_are_averaged_by_the_tokens_that_they_show() -> None:
    """Computed by hand: 40 tokens in rows of 30 are windows of 28 and 12 with no overlap."""
    encoded = encode(" ".join(["a"] * 40), windowed(stride=0))
    assert [30, 14] == [len(row.input_ids) for row in encoded.rows]
    found = labels(encoded, [[0.0, 0.0], [0.0, float(np.log(3.0))]])
    assert 0.7 * 0.5 + 0.3 * 0.75 == pytest.approx(found["yes"], abs=1e-6)
    assert 1 == pytest.approx(sum(found.values()), abs=1e-6)


def test_max_takes_each_labels_highest_score_and_first_the_first_window() -> None:
    """The highest scores need not add up to 1; with `first` nothing else is computed."""
    text, logits = " ".join(["a"] * 40), [[0.0, 0.0], [0.0, float(np.log(3.0))]]
    encoded = encode(text, windowed(stride=0, aggregation=Aggregation.MAX))
    highest = labels(encoded, logits)
    assert (0.5, 0.75) == pytest.approx((highest["no"], highest["yes"]), abs=1e-6)
    first = encode(text, windowed(stride=0, aggregation=Aggregation.FIRST))
    assert encoded.rows[:1] == first.rows
    assert first.truncated
    assert not encoded.truncated


def test_independent_labels_and_bare_values_are_pooled_as_what_they_are() -> None:
    """Sigmoids for several labels and for one, and numbers where no function is applied."""
    text, sure = " ".join(["a"] * 40), float(np.log(3.0))
    encoded = encode(text, windowed(stride=0), head="multilabel_classification")
    found = labels(encoded, [[0.0, sure], [sure, 0.0]], head="multilabel_classification")
    assert (0.575, 0.675) == pytest.approx((found["no"], found["yes"]), abs=1e-6)
    one = encode(text, windowed(stride=0), SINGLE)
    assert 0.575 == pytest.approx(labels(one, [[0.0], [sure]], SINGLE)["score"], abs=1e-6)
    bare = encode(text, windowed(stride=0), SINGLE, function_to_apply="none")
    assert 2.3 == pytest.approx(labels(bare, [[2.0], [3.0]], SINGLE)["score"], abs=1e-6)


def test_windows_without_a_stride_share_a_quarter_and_with_one_at_most_half() -> None:
    """So that every window brings something new, however small it is."""
    text = " ".join(f"a{number}" for number in range(60))
    ids = content("wordpiece", text)
    for stride, shared in ((None, 7), (100, 14), (0, 0)):
        second = encode(text, windowed(stride=stride)).rows[1].input_ids
        assert ids[28 - shared :][:28] == list(second[1:-1])


def choose(encoded: Encoded, logits: list[list[float]]) -> dict[str, float]:
    """Scores of choices, from the logits of each choice's windows."""
    outcomes = [{"logits": np.array([one], np.float32)} for row in logits for one in row]
    found = HEADS["multiple_choice"].decode(BINARY, encoded, outcomes)
    return {item.label: item.score for item in found}


def test_all_choices_read_the_same_windows_of_a_context() -> None:
    """However long each is, so that in each window they compete on the same words."""
    inputs = {"context": LONG, "choices": ["a", "a bridge over the water"]}
    encoded = encode(inputs, windowed(), head="multiple_choice")
    ids, longest = content("wordpiece", LONG), content("wordpiece", inputs["choices"][1])
    room = 30 - 3 - len(longest)
    half = len(encoded.rows) // 2
    for number, (one, other) in enumerate(zip(encoded.rows, encoded.rows[half:], strict=False)):
        shown = ids[number * (room - 4) :][:room]
        assert shown == list(one.input_ids[1 : len(shown) + 1])
        assert one.input_ids[: len(shown) + 2] == other.input_ids[: len(shown) + 2]
    assert half * 2 == len(encoded.rows)


def test_choices_scores_are_pooled_over_windows() -> None:
    """By hand: a context of 40 in windows of 26 and 14 tokens, each with its own shares."""
    inputs, sure = {"context": " ".join(["a"] * 40), "choices": ["a", "b"]}, float(np.log(3.0))
    encoded = encode(inputs, windowed(stride=0), head="multiple_choice")
    found = choose(encoded, [[0.0, sure], [0.0, 0.0]])
    assert 0.65 * 0.5 + 0.35 * 0.75 == pytest.approx(found["a"], abs=1e-6)
    highest = windowed(stride=0, aggregation=Aggregation.MAX)
    found = choose(encode(inputs, highest, head="multiple_choice"), [[0.0, sure], [0.0, 0.0]])
    assert (0.75, 0.5) == pytest.approx((found["a"], found["b"]), abs=1e-6)


def embed(inputs: Any, vectors: list[list[float]], **options: Any) -> Any:
    """The embedding answer to rows of such vectors."""
    head = embedding_head(None, options)
    encoded = encode(inputs, windowed(stride=0), head.spec, "embedding")
    outcomes = [{"vector": np.array(vector, np.float32)} for vector in vectors]
    return HEADS["embedding"].decode(head.spec, encoded, outcomes)


def test_a_long_texts_vector_is_the_mean_of_its_windows_before_it_is_normalised() -> None:
    """By hand: 28 tokens of (1, 0) and 12 of (0, 1), whatever the pooling inside a window."""
    text = " ".join(["a"] * 40)
    assert [0.7, 0.3] == pytest.approx(embed(text, [[1, 0], [0, 1]]), abs=1e-6)
    unit = embed(text, [[1, 0], [0, 1]], normalize=True, pooling="cls")
    assert [0.7 / 0.58**0.5, 0.3 / 0.58**0.5] == pytest.approx(unit, abs=1e-6)


def test_sentences_of_any_length_are_compared_by_their_vectors() -> None:
    """A long source, a short sentence and a long one: two rows, one row, two rows."""
    text = " ".join(["a"] * 40)
    inputs = {"source_sentence": text, "sentences": ["b", text]}
    rows = [[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]]
    assert [0.7 / 0.58**0.5, 1] == pytest.approx(embed(inputs, rows), abs=1e-6)


def test_the_client_may_have_a_long_text_cut_all_the_same() -> None:
    """`truncate: true` cuts; `false` asks that nothing be lost, and windows lose nothing."""
    head = embedding_head(None, {}).spec
    cut = encode(LONG, windowed(), head, "embedding", truncate=True)
    assert ([30], True) == ([len(row.input_ids) for row in cut.rows], cut.truncated)
    whole = encode(LONG, windowed(), head, "embedding", truncate=False)
    assert encode(LONG, windowed(), head, "embedding").rows == whole.rows


def test_windows_of_all_texts_of_an_input_are_counted_together() -> None:
    """The text that is one too many is named."""
    texts = [" ".join(["a"] * 200)] * 40
    inputs = {"source_sentence": "a", "sentences": texts}
    with pytest.raises(TooLong, match=f"at most {MAX_ROWS}") as caught:
        encode(inputs, windowed(stride=0), embedding_head(None, {}).spec, "embedding")
    assert "inputs.sentences[31]" == caught.value.field


def test_too_many_windows_and_too_little_room_name_the_remedy() -> None:
    """Before any window is made."""
    very_long = " ".join([LONG] * 100)
    with pytest.raises(TooLong, match=rf"at most {MAX_ROWS} .* send a shorter text"):
        encode(very_long, windowed())
    assert 1 == len(encode(very_long, windowed(aggregation=Aggregation.FIRST)).rows)
    with pytest.raises(InvalidInput, match=r"no room .* send a shorter one"):
        encode({"text": LONG, "text_pair": LONG}, windowed())
