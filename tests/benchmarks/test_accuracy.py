"""What answers are worth, on answers made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter_runtime.heads.answers import AnswerSpan, ChoiceScore, LabelScore, TokenEntity
from benchmarks.accuracy_scores import METRICS, changed_share, cosine, value
from benchmarks.questions.accuracy import EMBED, card_value, judged, read_rows, result


def label(*scores: tuple[str, float]) -> list[LabelScore]:
    """A classifier's answer."""
    return [LabelScore(name, score) for name, score in scores]


def entity(name: str, start: int, end: int) -> TokenEntity:
    """One word piece's class."""
    return TokenEntity(name, 1.0, 0, "", start, end)


def test_accuracy_is_the_share_of_right_likeliest_labels() -> None:
    """Whatever order they come in."""
    answers = [label(("bad", 0.1), ("good", 0.9)), label(("bad", 0.6), ("good", 0.4))]
    assert 0.5 == value(METRICS["sentiment"], answers, ["good", "good"])


def test_word_pieces_are_judged_by_the_word_that_they_end_in() -> None:
    """Three pieces, two words, one wrong: every piece counts, not every sentence."""
    answer = [entity("NOUN", 0, 3), entity("VERB", 3, 6), entity("PUNCT", 6, 7)]
    truth = [(6, "NOUN"), (7, "PUNCT")]
    assert value(METRICS["pos"], [answer], [truth]) == pytest.approx(2 / 3)


def test_micro_f1_counts_all_decisions_together() -> None:
    """Twice what both have over what either has; labels of one half and less are not given."""
    answers = [label(("a", 0.9), ("b", 0.7), ("c", 0.5)), label(("a", 0.1))]
    assert value(METRICS["package-tags"], answers, [["a"], ["a", "c"]]) == pytest.approx(2 / 5)


def test_an_answer_span_is_judged_by_its_words() -> None:
    """Against the nearest of the true answers; articles do not count."""
    answers = [AnswerSpan(1.0, 0, 0, "the island of Skerra")]
    assert 1.0 == value(METRICS["qa"], answers, [["Norway", "island of Skerra"]])


def test_a_choice_is_judged_by_its_place() -> None:
    """Two choices may have the same text."""
    answer = [ChoiceScore("same", 0.7, 1), ChoiceScore("same", 0.3, 0)]
    assert 0.0 == value(METRICS["social"], [answer], [0])


def test_changed_answers_are_counted_by_decision() -> None:
    """A sentence of four pieces with one change is a quarter."""
    one = [[entity(name, 0, 1) for name in ("A", "B", "C", "D")]]
    other = [[entity(name, 0, 1) for name in ("A", "B", "C", "X")]]
    assert 0.25 == changed_share(METRICS["pos"], one, other)


def test_vectors_are_held_against_each_other_by_their_angle() -> None:
    """Length does not count."""
    assert cosine([1.0, 0.0], [3.0, 0.0]) == pytest.approx(1.0)
    assert cosine([1.0, 0.0], [1.0, 1.0]) == pytest.approx(0.7071, abs=1e-4)


def test_the_result_names_the_largest_change_of_a_metric() -> None:
    """By its size, with its sign; vectors are no part of it."""
    rows = {
        "sentiment": [{"inputs": "", "truth": "good"}] * 2,
        EMBED: [{"inputs": "", "truth": None}] * 2,
    }
    good, bad = label(("good", 1.0)), label(("bad", 1.0))
    found = {
        "float32": {"sentiment": [good, good], EMBED: [[1.0, 0.0], [0.0, 1.0]]},
        "int8": {"sentiment": [good, bad], EMBED: [[1.0, 0.0], [0.1, 1.0]]},
    }
    done = result(rows, found, {"bfloat16": "not here"})
    assert {"largest change of a metric: int8": -0.5} == done.ratios
    assert 0.5 == done.contenders["sentiment"]["changed_share int8"]
    assert {"bfloat16": "not here"} == done.could_not_run


def test_float32_is_not_changed_against_itself() -> None:
    """The reference's own line."""
    answers = [label(("good", 1.0))]
    found = judged("sentiment", [{"inputs": "", "truth": "good"}], answers, answers)
    assert {"value": 1.0, "changed_share": 0.0} == found


def test_rows_beyond_the_cap_are_left_out_alike_each_time(tmp_path: Path) -> None:
    """Two runs judge the same rows, and a task without a file is no task."""
    lines = [json.dumps({"inputs": str(number), "truth": "good"}) for number in range(50)]
    (tmp_path / "sentiment.jsonl").write_text("\n".join(lines))
    first, second = read_rows(tmp_path, 10), read_rows(tmp_path, 10)
    assert 10 == len(first["sentiment"])
    assert first == second
    assert {"sentiment", EMBED} == first.keys()


@pytest.mark.parametrize("task", sorted(METRICS))
def test_every_judged_task_quotes_its_card(task: str) -> None:
    """The figure that the report prints beside is the card's own."""
    assert 0.3 < card_value(task) < 1.0
