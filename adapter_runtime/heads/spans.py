"""Start and end logits of windows to answers.

Source: transformers 4.57 `QuestionAnsweringPipeline.postprocess`, `select_starts_ends` and
`decode_spans`, except that merged scores stop at 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokens
from adapter_runtime.heads.answers import AnswerSpan
from adapter_runtime.types import Arrays

_CONTEXT = 1
"""The context is the second text of each row."""
_MASKED = np.float32(-10000.0)


@dataclass(frozen=True)
class QuestionContext:
    """What decode needs of a request: the context, its windows, and the first-token id."""

    text: str
    windows: tuple[Tokens, ...]
    cls_id: int | None


def best_answers(
    context: QuestionContext, outcomes: Sequence[Arrays], parameters: Mapping[str, Any]
) -> list[AnswerSpan]:
    """Up to `top_k` answers over all windows, best first.

    Args:
        context: the request.
        outcomes: `start` and `end` logits per window.
        parameters: `top_k` 1, `max_answer_len` 15 tokens, `align_to_words` true,
            `handle_impossible_answer` false unless given.
    """
    top_k = parameters.get("top_k", 1)
    to_words = parameters.get("align_to_words", True)
    longest = parameters.get("max_answer_len", 15)
    null_score = 1e6
    answers: dict[str, AnswerSpan] = {}
    for tokens, outcome in zip(context.windows, outcomes, strict=True):
        is_candidate = _candidates(tokens, context.cls_id)
        start, end = (_probabilities(outcome[side], is_candidate) for side in ("start", "end"))
        null_score = min(null_score, float(start[0] * end[0]))
        start[0] = end[0] = 0.0
        # Aligned to words, several spans become one answer, so more are looked at.
        wanted = top_k * 2 + 10 if to_words else top_k
        for first, last, score in _spans(start, end, wanted, longest, is_candidate):
            span = _characters(tokens, first, last, to_words)
            _add(answers, AnswerSpan(score, *span, context.text[slice(*span)]))
    found = list(answers.values())
    if parameters.get("handle_impossible_answer", False):
        found.append(AnswerSpan(null_score, 0, 0, ""))
    found.sort(key=lambda answer: answer.score, reverse=True)
    return [replace(answer, score=min(answer.score, 1.0)) for answer in found[:top_k]]


def _candidates(tokens: Tokens, cls_id: int | None) -> np.ndarray:
    """True for tokens of the context, and for the first token, which stands for no answer."""
    return np.array(
        [
            text == _CONTEXT or (cls_id is not None and token_id == cls_id)
            for text, token_id in zip(tokens.texts, tokens.ids, strict=True)
        ]
    )


def _probabilities(logits: np.ndarray, is_candidate: np.ndarray) -> np.ndarray:
    masked = np.where(is_candidate, logits, _MASKED)
    scores = np.exp(masked - masked.max())
    result: np.ndarray = scores / scores.sum()
    return result


def _spans(
    start: np.ndarray, end: np.ndarray, wanted: int, longest: int, is_candidate: np.ndarray
) -> list[tuple[int, int, float]]:
    """The `wanted` best spans of at most `longest` tokens as (first, last, score)."""
    scores = np.tril(np.triu(np.outer(start, end)), longest - 1)
    flat = scores.flatten()
    if wanted == 1:
        order = np.array([np.argmax(flat)])
    elif len(flat) <= wanted:
        order = np.argsort(-flat)
    else:
        best = np.argpartition(-flat, wanted)[:wanted]
        order = best[np.argsort(-flat[best])]
    firsts, lasts = np.unravel_index(order, scores.shape)
    allowed = is_candidate[firsts] & is_candidate[lasts]
    return [
        (int(first), int(last), float(scores[first, last]))
        for first, last in zip(firsts[allowed], lasts[allowed], strict=True)
    ]


def _characters(tokens: Tokens, first: int, last: int, to_words: bool) -> tuple[int, int]:
    if to_words:
        head, tail = tokens.word_chars(first, _CONTEXT), tokens.word_chars(last, _CONTEXT)
        if head is not None and tail is not None:
            return head[0], tail[1]
    return tokens.offsets[first][0], tokens.offsets[last][1]


def _add(answers: dict[str, AnswerSpan], answer: AnswerSpan) -> None:
    """Keep an answer; an equal one, but for case, only adds its score."""
    key = answer.answer.lower()
    known = answers.get(key)
    answers[key] = answer if known is None else replace(known, score=known.score + answer.score)
