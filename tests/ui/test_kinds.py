"""A fitting form and a fitting picture for each kind of task."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Page, Route, expect

from tests.running import Running
from tests.ui.acting import open_task, pretend, run, task


def test_classes_are_bars(page: Page, demo: Running) -> None:
    """The best label comes first, each with its share, and how it came about stands below."""
    open_task(page, demo, "sentiment")
    answer = run(page)
    expect(answer.get_by_role("listitem").first).to_contain_text("positive")
    expect(answer.get_by_role("listitem").first).to_contain_text("99.")
    for fact in ("Version", "In the queue", "Computing", "Whole request", "Weights were"):
        expect(answer.get_by_text(fact, exact=True)).to_be_visible()
    expect(page.locator("#announcements")).to_contain_text("positive, 99.")


def test_a_pair_of_texts_can_be_asked_about(page: Page, demo: Running) -> None:
    """The second text is folded away, except where the task's own example has one."""
    open_task(page, demo, "claims")
    expect(page.get_by_label("second text")).to_have_value(re.compile("Swedish footballer"))
    open_task(page, demo, "sentiment")
    expect(page.get_by_label("second text")).to_be_hidden()
    open_task(page, demo, "claims")
    page.get_by_label("Text", exact=True).fill("Anna Falk is a goalkeeper for Sweden .")
    page.get_by_label("second text").fill("Anna Falk: Anna Falk is a Swedish goalkeeper .")
    expect(run(page).get_by_role("listitem").first).to_contain_text("supported")


def test_what_was_typed_stays_when_the_task_s_example_comes_late(page: Page, demo: Running) -> None:
    """The example takes the place of an untouched form only."""
    held: list[Route] = []
    pretend(page, [task("alike", "sentence-similarity")])
    page.route("**/models/alike", lambda route: held.append(route))
    open_task(page, demo, "alike")
    text = page.get_by_label("Sentence", exact=True)
    text.fill("I typed this.")
    example = {"source_sentence": "The task's own.", "sentences": ["Another."]}
    with page.expect_response("**/models/alike"):
        held[0].fulfill(json={"example": example})
    page.wait_for_timeout(100)  # the page reads the answer after it came
    expect(text).to_have_value("I typed this.")
    page.get_by_role("tab", name="Embeddings").click()
    page.get_by_role("tab", name="Similarity").click()
    expect(text).to_have_value("The task's own.")


def test_tags_are_marked_in_the_text(page: Page, demo: Running) -> None:
    """Each word keeps its place, also behind characters that JavaScript counts twice."""
    open_task(page, demo, "pos")
    page.get_by_label("Text").fill("🦉🦉 Anna reads.")
    marks = run(page).locator("mark")
    expect(marks.filter(has_text="reads")).to_have_text("readsVERB")
    page.get_by_text("As a table").click()
    expect(page.get_by_role("cell", name="VERB")).to_be_visible()


def test_an_answer_is_marked_in_its_passage(page: Page, demo: Running) -> None:
    """The span stands out where it was found, and other answers follow with their scores."""
    open_task(page, demo, "qa")
    answer = run(page)
    expect(answer.locator("mark")).to_contain_text("Skerra")
    expect(answer.locator(".marked")).to_contain_text("The lighthouse was built in 1874")
    expect(answer.get_by_role("listitem")).to_have_count(3)


def test_choices_are_ranked(page: Page, demo: Running) -> None:
    """One choice a line, each with its share."""
    open_task(page, demo, "social")
    expect(run(page).get_by_role("listitem").first).to_contain_text("eat a big meal")


def test_vectors_make_a_matrix(page: Page, demo: Running) -> None:
    """Every text with every other, and alike ones more alike."""
    open_task(page, demo, "embed")
    cells = run(page).get_by_role("cell").filter(has_text=".")
    values = [float(text) for text in cells.all_inner_texts()]
    assert len(values) == 16
    assert values[0] == 1.0
    assert values[1] > 0.4 > values[2]


def test_an_embedding_task_compares_with_a_sentence_too(page: Page, demo: Running) -> None:
    """The other way to ask it is a tab away."""
    open_task(page, demo, "embed")
    page.get_by_role("tab", name="Similarity").click()
    expect(run(page).get_by_role("listitem").first).to_contain_text("I forgot my login")


class Canned(NamedTuple):
    """An answer of a kind that the demo lacks: what is sent for it, and what its picture shows."""

    kind: str
    answer: Any
    sent: dict[str, Any]
    shown: tuple[str, ...]


CANNED = (
    Canned(
        "fill-mask",
        [{"score": 0.8, "token": 7, "token_str": "slept", "sequence": "the old dog slept"}],
        {"inputs": "The old dog [MASK] in the garden.", "parameters": {"top_k": 5}},
        ("the old dog slept", "80.0 %", "token 7"),
    ),
    Canned(
        "zero-shot-classification",
        [{"label": "film review", "score": 0.9}, {"label": "weather report", "score": 0.1}],
        {
            "inputs": "A warm, funny and beautifully acted film.",
            "parameters": {
                "candidate_labels": ["film review", "weather report", "travel booking"],
                "hypothesis_template": "This example is {}.",
            },
        },
        ("film review", "90.0 %", "weather report"),
    ),
    Canned(
        "text-ranking",
        [{"index": 1, "score": 0.7}, {"index": 0, "score": 0.2}],
        {
            "inputs": {
                "query": "How do I reset my password?",
                "texts": [
                    "I forgot my login and need a new one.",
                    "The weather in Oslo is fine today.",
                    "It will be sunny in Norway.",
                ],
            }
        },
        ("The weather in Oslo is fine today.", "70.0 %"),
    ),
    Canned(
        "text-generation",
        [{"generated_text": " sun"}],
        {"inputs": "The old dog sleeps in the"},
        ("The old dog sleeps in the sun",),
    ),
    Canned(
        "dependency-parsing",
        [
            {"word": "Dogs", "head": 2, "label": "nsubj", "score": 0.9},
            {"word": "sleep", "head": 0, "label": "root", "score": 0.8},
        ],
        {"inputs": {"words": ["The", "old", "dog", "sleeps", "in", "the", "garden", "."]}},
        ("Dogs", "sleep", "nsubj", "root"),
    ),
    Canned("something-new", {"free": [1, 2]}, {"inputs": "A text."}, ('"free": [1, 2]',)),
)


@pytest.mark.parametrize("case", CANNED, ids=lambda case: case.kind)
def test_other_kinds(page: Page, demo: Running, case: Canned) -> None:
    """Their form sends what their kind takes, and their picture shows what it gives."""
    sent = pretend(page, [task("other", case.kind)], case.answer)
    open_task(page, demo, "other")
    answer = run(page)
    assert sent == [case.sent]
    for text in case.shown:
        expect(answer.locator(".picture")).to_contain_text(text)
    expect(answer.get_by_text("v7")).to_be_visible()


def test_many_labels_are_shown_on_demand(page: Page, demo: Running) -> None:
    """Eight bars first; the button brings the rest."""
    labels = [{"label": f"label {place}", "score": 0.5 - place / 100} for place in range(11)]
    pretend(page, [task("many", "text-classification")], [labels])
    open_task(page, demo, "many")
    answer = run(page)
    expect(answer.get_by_role("listitem")).to_have_count(8)
    answer.get_by_role("button", name="Show 3 more").click()
    expect(answer.get_by_role("listitem")).to_have_count(11)
