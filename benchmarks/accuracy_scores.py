"""What a task's answers are worth, and which of them another dtype changes.

The metrics are those that the training scripts print: an answer gives a share of a numerator and a
denominator, and a task's value is the sum of one over the sum of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_runtime.heads.answers import AnswerSpan, ChoiceScore, LabelScore, TokenEntity
from examples.training.squad import overlap

Share = tuple[float, float]
Units = tuple[Any, ...]
_LIKELY = 0.5


@dataclass(frozen=True)
class Metric:
    """How a task's answers are judged.

    Args:
        name: as the report prints it.
        units: what an answer decides; a change of one of them is a changed answer.
        score: numerator and denominator that an answer adds, given what is true.
    """

    name: str
    units: Callable[[Any], Units]
    score: Callable[[Any, Any], Share]


def best_label(answer: Sequence[LabelScore]) -> Units:
    """The likeliest label."""
    return (max(answer, key=lambda each: each.score).label,)


def best_choice(answer: Sequence[ChoiceScore]) -> Units:
    """The place of the likeliest choice."""
    return (max(answer, key=lambda each: each.score).index,)


def likely_labels(answer: Sequence[LabelScore]) -> Units:
    """The labels above one half, as one decision."""
    return (frozenset(each.label for each in answer if each.score > _LIKELY),)


def entities(answer: Sequence[TokenEntity]) -> Units:
    """The class of each word piece."""
    return tuple(each.entity for each in answer)


def span(answer: AnswerSpan) -> Units:
    """The words of the answer."""
    return (answer.answer,)


def hit(answer: Any, truth: Any) -> Share:
    """One if the label is right."""
    return float(best_label(answer)[0] == truth), 1.0


def chosen(answer: Any, truth: Any) -> Share:
    """One if the right choice is the likeliest."""
    return float(best_choice(answer)[0] == truth), 1.0


def micro(answer: Any, truth: Sequence[str]) -> Share:
    """Micro F1: twice what both have, over what either has."""
    found = likely_labels(answer)[0]
    return 2.0 * len(found & set(truth)), float(len(found) + len(truth))


def pieces(answer: Sequence[TokenEntity], truth: Sequence[tuple[int, str]]) -> Share:
    """Word pieces with the class of their word; `truth` has each word's end and its class."""
    right = [next(name for end, name in truth if each.end <= end) for each in answer]
    hits = sum(each.entity == name for each, name in zip(answer, right, strict=True))
    return float(hits), float(len(answer))


def words(answer: AnswerSpan, truth: Sequence[str]) -> Share:
    """F1 over words, against the nearest of the true answers."""
    return overlap(answer.answer, truth)[0], 1.0


ACCURACY = Metric("accuracy", best_label, hit)
METRICS: dict[str, Metric] = {
    "sentiment": ACCURACY,
    "spam": ACCURACY,
    "pos": Metric("accuracy over word pieces", entities, pieces),
    "qa": Metric("F1 over words", span, words),
    "intent": ACCURACY,
    "package-tags": Metric("micro F1 at 0.5", likely_labels, micro),
    "claims": ACCURACY,
    "social": Metric("accuracy", best_choice, chosen),
}


def value(metric: Metric, answers: Sequence[Any], truths: Sequence[Any]) -> float:
    """A task's metric over all of its rows."""
    shares = [metric.score(answer, true) for answer, true in zip(answers, truths, strict=True)]
    return sum(above for above, _ in shares) / max(1e-12, sum(below for _, below in shares))


def changed_share(metric: Metric, answers: Sequence[Any], others: Sequence[Any]) -> float:
    """Share of decisions that differ between two runs over the same rows."""
    pairs = [
        (one, other)
        for answer, another in zip(answers, others, strict=True)
        for one, other in zip(metric.units(answer), metric.units(another), strict=True)
    ]
    return sum(one != other for one, other in pairs) / max(1, len(pairs))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors."""
    above = sum(a * b for a, b in zip(one, other, strict=True))
    return above / (math.hypot(*one) * math.hypot(*other))
