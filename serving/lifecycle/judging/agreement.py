"""Whether two versions' answers to the same input say the same to a user, by kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import mul
from typing import Any

from adapter_runtime import Kind

LEAST_COSINE = 0.99
SIMILARITY_TOLERANCE = 0.02
VALUE_TOLERANCE = 0.05
"""How far the one score of a task with one label may stray: absolute up to 1, relative above."""
_YES = 0.5
_ROUNDING = 0.01


_EMBEDDING = (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY)


def asked(kind: Kind, item: Any) -> Kind:
    """What an input asks of a task: one that embeds gives vectors or similarities, by the input."""
    if kind not in _EMBEDDING:
        return kind
    is_comparison = isinstance(item, Mapping) and "source_sentence" in item
    return Kind.SENTENCE_SIMILARITY if is_comparison else Kind.FEATURE_EXTRACTION


def agree(kind: Kind, one: Any, other: Any, num_labels: int | None = None) -> bool:
    """Whether two outputs say the same; never raises, also not for outputs of other shapes.

    Args:
        kind: what was asked.
        one, other: outputs of one item, as the engine decodes them.
        num_labels: of the task; tells all labels' scores from the `top_k` best. None: all are
            there.
    """
    try:
        if kind is Kind.TEXT_CLASSIFICATION:
            return _same_labels(one, other, num_labels)
        return _RULES[kind](one, other)
    except (AttributeError, LookupError, TypeError, ValueError):
        return False  # an answer of another shape says something else


def _same_labels(one: Any, other: Any, num_labels: int | None = None) -> bool:
    """The same top label; of independent labels the same set; of a single one the same value."""
    if not one or not other:
        return not one and not other
    is_whole = len(one) == len(other) == (num_labels or len(one))
    if is_whole and len(one) == 1:
        return one[0].label == other[0].label and _is_near(one[0].score, other[0].score)
    if _is_independent(one, is_whole) or _is_independent(other, is_whole):
        return _chosen(one) == _chosen(other)
    return bool(_top(one).label == _top(other).label)


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= VALUE_TOLERANCE * max(1.0, abs(one), abs(other))


def _is_independent(scores: Any, is_whole: bool) -> bool:
    """Whether each label has a probability of its own: shares of one whole add up to 1."""
    total = sum(item.score for item in scores)
    if not all(0 <= item.score <= 1 for item in scores):
        return False
    return total > 1 + _ROUNDING or (is_whole and total < 1 - _ROUNDING)


def _chosen(scores: Any) -> set[str]:
    return {item.label for item in scores if item.score > _YES}


def _top(scores: Any) -> Any:
    return max(scores, key=lambda item: item.score)


def _same_entities(one: Any, other: Any) -> bool:
    return sorted(map(_entity, one)) == sorted(map(_entity, other))


def _entity(item: Any) -> tuple[int, int, str]:
    label = item.entity_group if hasattr(item, "entity_group") else item.entity
    return item.start, item.end, label


def _same_span(one: Any, other: Any) -> bool:
    return _span(one) == _span(other)


def _span(answer: Any) -> str:
    """The text of the best answer; none at all reads like the empty one."""
    if isinstance(answer, list | tuple):
        return _span(_top(answer)) if answer else ""
    text: str = answer.answer
    return text.strip()


def _same_choice(one: Any, other: Any) -> bool:
    if not one or not other:
        return not one and not other
    return bool(_top(one).index == _top(other).index)


def _same_vectors(one: Any, other: Any) -> bool:
    """A vector, or lists of them: each close to its counterpart in direction."""
    if len(one) != len(other):
        return False
    if one and isinstance(one[0], list | tuple):
        return all(map(_same_vectors, one, other))
    lengths = math.hypot(*one), math.hypot(*other)
    if 0.0 in lengths:
        return lengths[0] == lengths[1]
    cosine = sum(map(mul, one, other)) / lengths[0] / lengths[1]
    return bool(cosine >= LEAST_COSINE)


def _same_similarities(one: Any, other: Any) -> bool:
    pairs = zip(one, other, strict=True)
    return all(abs(mine - its) <= SIMILARITY_TOLERANCE for mine, its in pairs)


def _same_fills(one: Any, other: Any) -> bool:
    return _tokens(one) == _tokens(other)


def _tokens(fills: Any) -> list[Any]:
    """The best token, of each mask where there are several."""
    if fills and isinstance(fills[0], list | tuple):
        return [_tokens(each) for each in fills]
    return [_top(fills).token] if fills else []


def _same_texts(one: Any, other: Any) -> bool:
    return [each.generated_text for each in one] == [each.generated_text for each in other]


def _same_arcs(one: Any, other: Any) -> bool:
    return [(word.head, word.label) for word in one] == [(word.head, word.label) for word in other]


_RULES: Mapping[Kind, Callable[[Any, Any], bool]] = {
    Kind.TEXT_CLASSIFICATION: _same_labels,
    Kind.TOKEN_CLASSIFICATION: _same_entities,
    Kind.QUESTION_ANSWERING: _same_span,
    Kind.MULTIPLE_CHOICE: _same_choice,
    Kind.FEATURE_EXTRACTION: _same_vectors,
    Kind.SENTENCE_SIMILARITY: _same_similarities,
    Kind.FILL_MASK: _same_fills,
    Kind.TEXT_GENERATION: _same_texts,
    Kind.DEPENDENCY_PARSING: _same_arcs,
    Kind.ZERO_SHOT_CLASSIFICATION: _same_labels,
    Kind.TEXT_RANKING: _same_choice,
}
