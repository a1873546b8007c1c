from __future__ import annotations

from typing import Any

import pytest

from adapter_runtime import AnswerSpan, ChoiceScore, EntityGroup, Kind, LabelScore, TokenEntity
from adapter_runtime.heads.answers import GeneratedText, MaskFill, ParsedWord, RankScore
from serving.lifecycle.judging.agreement import agree, asked


def labels(**scores: float) -> list[LabelScore]:
    """As the engine gives them: best first."""
    found = [LabelScore(label, score) for label, score in scores.items()]
    return sorted(found, key=lambda item: item.score, reverse=True)


def tag(label: str, start: int, end: int, score: float = 0.9) -> TokenEntity:
    return TokenEntity(label, score, 1, "word", start, end)


def group(label: str, start: int, end: int, score: float = 0.9) -> EntityGroup:
    return EntityGroup(label, score, "word", start, end)


def span(answer: str, score: float = 0.9, start: int = 0) -> AnswerSpan:
    return AnswerSpan(score, start, start + len(answer), answer)


def choice(index: int, score: float) -> ChoiceScore:
    return ChoiceScore(f"choice {index}", score, index)


def fill(token: int, score: float = 0.9) -> MaskFill:
    return MaskFill(score, token, str(token), f"a {token}")


def word(head: int, label: str) -> ParsedWord:
    return ParsedWord("word", head, label, 0.9)


SAME: dict[Kind, list[tuple[Any, Any]]] = {
    Kind.TEXT_CLASSIFICATION: [
        (labels(yes=0.9, no=0.1), labels(yes=0.6, no=0.4)),  # shares of one whole
        (labels(a=0.4, b=0.3, c=0.3), labels(a=0.8, b=0.1, c=0.1)),
        (labels(a=0.9, b=0.8), labels(b=0.9, a=0.7)),  # independent labels: the set counts
        (labels(a=0.2, b=0.1), labels(b=0.3, a=0.1)),  # none of them
        (labels(a=7.0, b=-2.0), labels(a=3.0, b=2.5)),  # bare logits
        (labels(score=3.42), labels(score=3.5)),  # a value
        (labels(score=0.1), labels(score=0.13)),
        (labels(score=-200.0), labels(score=-205.0)),
        ([], []),
    ],
    Kind.TOKEN_CLASSIFICATION: [
        ([tag("B-PER", 0, 4)], [tag("B-PER", 0, 4, 0.5)]),
        ([group("PER", 0, 4), group("LOC", 9, 12)], [group("LOC", 9, 12), group("PER", 0, 4)]),
        ([], []),
    ],
    Kind.QUESTION_ANSWERING: [
        (span("Berlin"), span("Berlin", 0.2, start=40)),
        (span(" Berlin"), span("Berlin")),
        ([span("Berlin"), span("Bonn", 0.1)], [span("Bonn", 0.1), span("Berlin")]),
        ([span("Berlin"), span("Bonn", 0.1)], span("Berlin")),
        (span(""), []),
    ],
    Kind.MULTIPLE_CHOICE: [
        ([choice(1, 0.9), choice(0, 0.1)], [choice(1, 0.6), choice(0, 0.4)]),
        ([], []),
    ],
    Kind.FEATURE_EXTRACTION: [
        ([1.0, 2.0], [1.0, 2.1]),
        ([1.0, 2.0], [10.0, 20.0]),
        ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.01], [0.0, 2.0]]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([], []),
    ],
    Kind.SENTENCE_SIMILARITY: [([0.91, 0.2], [0.9, 0.21]), ([], [])],
    Kind.FILL_MASK: [
        ([fill(5), fill(6, 0.1)], [fill(5, 0.3), fill(7, 0.2)]),
        ([[fill(5)], [fill(6)]], [[fill(5)], [fill(6)]]),
        ([], []),
    ],
    Kind.TEXT_GENERATION: [([GeneratedText("x y")], [GeneratedText("x y")]), ([], [])],
    Kind.ZERO_SHOT_CLASSIFICATION: [
        (labels(a=0.9, b=0.1), labels(a=0.6, b=0.4)),
        (labels(a=0.9, b=0.8), labels(b=0.9, a=0.7)),
    ],
    Kind.TEXT_RANKING: [([RankScore(1, 0.9), RankScore(0, 0.1)], [RankScore(1, 0.6)]), ([], [])],
    Kind.DEPENDENCY_PARSING: [
        ([word(0, "root"), word(1, "obj")], [word(0, "root"), word(1, "obj")]),
        ([], []),
    ],
}
OTHER: dict[Kind, list[tuple[Any, Any]]] = {
    Kind.TEXT_CLASSIFICATION: [
        (labels(yes=0.9, no=0.1), labels(yes=0.4, no=0.6)),
        (labels(a=0.4, b=0.3, c=0.3), labels(b=0.4, a=0.3, c=0.3)),
        (labels(a=0.9, b=0.8), labels(a=0.9, b=0.3)),
        (labels(a=0.9, b=0.2), labels(a=0.4, b=0.2)),  # from one label to none
        (labels(a=0.9, b=0.8), labels(a=0.6, b=0.4)),  # these add up to 1 by chance
        (labels(a=7.0, b=-2.0), labels(a=2.0, b=2.5)),
        (labels(score=3.42), labels(score=4.0)),
        (labels(score=0.5), labels(other=0.5)),
        (labels(score=float("nan")), labels(score=0.5)),
        (labels(a=0.9), []),
    ],
    Kind.TOKEN_CLASSIFICATION: [
        ([tag("B-PER", 0, 4)], [tag("B-LOC", 0, 4)]),
        ([group("PER", 0, 4)], [group("PER", 0, 9)]),
        ([group("PER", 0, 4)], []),
        ([group("PER", 0, 4)], [group("PER", 0, 4), group("PER", 5, 9)]),
    ],
    Kind.QUESTION_ANSWERING: [
        (span("Berlin"), span("Bonn")),
        (span("Berlin"), span("")),
        ([], span("Berlin")),
    ],
    Kind.MULTIPLE_CHOICE: [
        ([choice(1, 0.9), choice(0, 0.1)], [choice(0, 0.6), choice(1, 0.4)]),
        ([choice(0, 1.0)], []),
    ],
    Kind.FEATURE_EXTRACTION: [
        ([1.0, 2.0], [2.0, 1.0]),
        ([1.0, 2.0], [1.0, 2.0, 0.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([1.0, 2.0], [float("nan"), 2.0]),
        ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]),
        ([[1.0, 0.0]], [1.0, 0.0]),
    ],
    Kind.SENTENCE_SIMILARITY: [([0.91, 0.2], [0.91, 0.25]), ([0.9], [0.9, 0.1])],
    Kind.FILL_MASK: [
        ([fill(5), fill(6, 0.1)], [fill(6, 0.8), fill(5, 0.1)]),
        ([[fill(5)], [fill(6)]], [[fill(5)], [fill(7)]]),
        ([fill(5)], []),
    ],
    Kind.TEXT_GENERATION: [
        ([GeneratedText("x y")], [GeneratedText("x z")]),
        ([GeneratedText("x y")], []),
    ],
    Kind.ZERO_SHOT_CLASSIFICATION: [(labels(a=0.9, b=0.1), labels(a=0.4, b=0.6))],
    Kind.TEXT_RANKING: [([RankScore(1, 0.9), RankScore(0, 0.1)], [RankScore(0, 0.6)])],
    Kind.DEPENDENCY_PARSING: [
        ([word(0, "root"), word(1, "obj")], [word(0, "root"), word(0, "obj")]),
        ([word(0, "root"), word(1, "obj")], [word(0, "root"), word(1, "subj")]),
        ([word(0, "root")], [word(0, "root"), word(1, "obj")]),
    ],
}


def cases(of: dict[Kind, list[tuple[Any, Any]]]) -> list[Any]:
    """One parameter set per pair of answers."""
    return [
        pytest.param(kind, *pair, id=f"{kind}-{number}")
        for kind, pairs in of.items()
        for number, pair in enumerate(pairs)
    ]


@pytest.mark.parametrize(("kind", "one", "other"), cases(SAME))
def test_answers_that_say_the_same_agree(kind: Kind, one: Any, other: Any) -> None:
    """Whichever of them came first, and whatever the scores."""
    assert agree(kind, one, other)
    assert agree(kind, other, one)


@pytest.mark.parametrize(("kind", "one", "other"), cases(OTHER))
def test_answers_that_say_something_else_disagree(kind: Kind, one: Any, other: Any) -> None:
    """Whichever of them came first."""
    assert not agree(kind, one, other)
    assert not agree(kind, other, one)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_rule(kind: Kind) -> None:
    """A new kind must say when two of its answers agree."""
    assert SAME[kind]
    assert OTHER[kind]
    assert agree(kind, *SAME[kind][0])


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("strange", (None, 3, "text", {"label": "x"}, [None], [[]]))
def test_answers_of_another_shape_disagree(kind: Kind, strange: Any) -> None:
    """A version of another kind says something else, and judging it does not raise."""
    one, _ = SAME[kind][0]
    assert not agree(kind, one, strange)
    assert not agree(kind, strange, one)


def test_the_best_label_alone_is_no_value() -> None:
    """With `top_k` 1 of several labels the score may differ; a task with one label has values."""
    one, other = labels(spam=0.9), labels(spam=0.6)
    assert agree(Kind.TEXT_CLASSIFICATION, one, other, num_labels=2)
    assert not agree(Kind.TEXT_CLASSIFICATION, one, other, num_labels=1)


def test_the_best_of_shares_are_not_independent() -> None:
    """Cut to `top_k`, shares of one whole do not add up to 1, and the top label counts."""
    one, other = labels(a=0.3, b=0.2), labels(b=0.3, a=0.2)
    assert not agree(Kind.TEXT_CLASSIFICATION, one, other, num_labels=5)


def test_an_embedding_task_is_judged_by_what_was_asked() -> None:
    """Compared sentences give similarities and a text gives a vector, whatever the kind says."""
    comparison = {"source_sentence": "a", "sentences": ["b"]}
    for kind in (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY):
        assert Kind.SENTENCE_SIMILARITY is asked(kind, comparison)
        assert Kind.FEATURE_EXTRACTION is asked(kind, "a")
    assert Kind.FILL_MASK is asked(Kind.FILL_MASK, "a")
