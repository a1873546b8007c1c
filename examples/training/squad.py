"""Questions in SQuAD format as training examples, and the SQuAD metrics."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from examples.training.fitting import Example
from examples.training.sources import member, python_archive

FILES = ("squaddev_v1.1.json", "new_wiki_v1.0.json")
MAX_TOKENS = 256
MAX_ANSWER_TOKENS = 15
CROP_CHARACTERS = (150, 600)

Span = tuple[int, int]


@dataclass(frozen=True)
class Question:
    """A question about a passage; `begin` and `answers[0]` say where an answer stands."""

    title: str
    text: str
    context: str
    begin: int
    answers: tuple[str, ...]


def read_questions() -> list[Question]:
    """The questions whose first answer really stands at its stated offset."""
    archive = python_archive("bigbench", "1.0.0")
    return [
        Question(article["title"], item["question"], passage["context"], begin, answers)
        for name in FILES
        for article in json.loads(member(archive, f"squad_shifts/{name}"))["data"]
        for passage in article["paragraphs"]
        for item in passage["qas"]
        for begin in [item["answers"][0]["answer_start"]]
        for answers in [tuple(answer["text"] for answer in item["answers"])]
        if passage["context"].startswith(answers[0], begin)
    ]


def crop(question: Question, shuffler: random.Random) -> Question:
    """The question with a random stretch of its passage around the answer: cheaper to train on."""
    size = shuffler.randint(*CROP_CHARACTERS)
    end = question.begin + len(question.answers[0])
    left = max(0, question.begin - shuffler.randint(0, size))
    left = question.context.rfind(" ", 0, left) + 1 if left else 0
    right = question.context.find(" ", max(end, left + size))
    context = question.context[left : right if right > 0 else None]
    return Question(question.title, question.text, context, question.begin - left, question.answers)


def encode(tokenizer: Any, question: Question) -> tuple[Example, list[Span | None]] | None:
    """Question and passage with the answer's first and last token; None where it was cut off.

    Beside it the character offsets of the passage's tokens, None for other tokens.
    """
    encoded = tokenizer(
        question.text,
        question.context,
        truncation="only_second",
        max_length=MAX_TOKENS,
        return_offsets_mapping=True,
    )
    spans: list[Span | None] = [
        span if part == 1 else None
        for span, part in zip(encoded["offset_mapping"], encoded.sequence_ids(), strict=True)
    ]
    end = question.begin + len(question.answers[0])
    passage = [(i, *span) for i, span in enumerate(spans) if span]
    inside = [i for i, first, last in passage if first < end and last > question.begin]
    if not inside or passage[-1][2] < end:
        return None
    return Example.of(encoded, start_positions=inside[0], end_positions=inside[-1]), spans


def best_span(start: Tensor, end: Tensor, spans: Sequence[Span | None]) -> Span:
    """Character offsets of the likeliest answer of at most `MAX_ANSWER_TOKENS` tokens.

    Shape: `start`, `end` `[tokens]`.
    """
    passage = [(i, *span) for i, span in enumerate(spans) if span]
    starts, ends = start.tolist(), end.tolist()
    candidates = [
        (starts[i] + ends[j], begin, stop)
        for place, (i, begin, _) in enumerate(passage)
        for j, _, stop in passage[place : place + MAX_ANSWER_TOKENS]
    ]
    return max(candidates)[1:]


def overlap(answer: str, truths: Sequence[str]) -> tuple[float, float]:
    """F1 over words and exact match, each against the nearest of the truths."""
    found = _words(answer)
    f1 = [
        2
        * sum((Counter(found) & Counter(_words(truth))).values())
        / max(1, len(found) + len(_words(truth)))
        for truth in truths
    ]
    return max(f1), float(any(found == _words(truth) for truth in truths))


def _words(text: str) -> list[str]:
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()
