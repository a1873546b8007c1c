"""A text for several tasks is read once, and makes the rows that it always makes."""

from __future__ import annotations

import pytest

from adapter_runtime.backbone.tokenizer_once import ReadingOnce
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Encoded, Limits, Overflow
from tests.goldens.heads.texts import LONG, SENTENCES
from tests.heads.plain import static_head
from tests.heads.test_pipeline_answers import PIPELINES, tokenizer_of

CLASSES = (
    ("classification", "BertForSequenceClassification"),
    ("tagging", "BertForTokenClassification"),
)
LIMITS = (Limits(), Limits(12), Limits(30, Overflow.WINDOW, 4), Limits(9, Overflow.TRUNCATE))


@pytest.mark.parametrize("name", PIPELINES)
def test_rows_are_those_of_a_tokenizer_that_forgets(name: str) -> None:
    """Whatever was cut off a text for one task is there again for the next."""
    once, plain = ReadingOnce(tokenizer_of(name)), tokenizer_of(name)
    for text in (LONG, SENTENCES[0]):
        for limits in LIMITS:
            for head, written in CLASSES:
                spec, kind = static_head(written, ("no", "yes")).spec, HEADS[head]
                found: Encoded = kind.encode(spec, text, {}, once, limits)
                assert found.rows == kind.encode(spec, text, {}, plain, limits).rows


def test_a_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tokenizer itself, for all that ask."""
    tokenizer, asked = tokenizer_of("wordpiece"), []
    read = type(tokenizer)._content
    monkeypatch.setattr(
        type(tokenizer), "_content", lambda self, text: (asked.append(text), read(self, text))[1]
    )
    once = ReadingOnce(tokenizer)
    rows = {once.encode(text, with_offsets=is_told)[0].ids for text in "ab" for is_told in (1, 0)}
    assert asked == ["a", "b"]
    assert len(rows) == 2
