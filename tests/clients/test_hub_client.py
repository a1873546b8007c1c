"""Every kind through `huggingface_hub.InferenceClient`, against the demo in its own process."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.running import Running

CONTEXT = "The old lighthouse was built in 1871 by Maria Santos. It stands on the northern cliff."


def client(demo: Running, task: str) -> InferenceClient:
    """The client of one task, as the README shows it."""
    return InferenceClient(model=f"{demo.url}/models/{task}")


def test_text_classification(demo: Running) -> None:
    """Labels by name, scores sorted and adding up to 1."""
    scores = client(demo, "sentiment").text_classification("A warm, funny, wonderful film.")
    assert scores[0].label == "positive"
    assert sum(score.score for score in scores) == pytest.approx(1.0, abs=1e-5)


def test_text_classification_parameters(demo: Running) -> None:
    """`top_k` and `function_to_apply` reach the head."""
    both = client(demo, "sentiment").text_classification("Awful.", function_to_apply="sigmoid")
    (best,) = client(demo, "sentiment").text_classification("Awful.", top_k=1)
    assert best.label == "negative"
    assert sum(score.score for score in both) != pytest.approx(1.0, abs=1e-3)


def test_multi_label_scores_stand_alone(demo: Running) -> None:
    """Each label has its own probability."""
    scores = client(demo, "package-tags").text_classification(
        "library for parsing XML documents in Python, development files"
    )
    assert len(scores) > 2
    assert all(0 <= score.score <= 1 for score in scores)


def test_token_classification(demo: Running) -> None:
    """Every word with its tag and the characters that it covers."""
    text = "The old dog sleeps in the garden."
    groups = client(demo, "pos").token_classification(text, aggregation_strategy="first")
    words = [text[group.start : group.end] for group in groups]
    assert "".join(words) == text.replace(" ", "")
    assert "NOUN" in {group.entity_group for group in groups}


def test_question_answering(demo: Running) -> None:
    """A span of the context with its place."""
    answer = client(demo, "qa").question_answering(
        question="When was the lighthouse built?", context=CONTEXT
    )
    assert CONTEXT[answer.start : answer.end] == answer.answer == "1871"


def test_question_answering_reads_long_contexts_in_windows(demo: Running) -> None:
    """The answer may stand far behind the length limit."""
    filler = "The village lies in a green valley and has a small market every week. " * 60
    answer = client(demo, "qa").question_answering(
        question="When was the lighthouse built?", context=filler + CONTEXT
    )
    assert answer.answer.startswith("1871")
    assert (filler + CONTEXT)[answer.start : answer.end] == answer.answer
    assert answer.start > len(filler)


def test_several_answers(demo: Running) -> None:
    """`top_k` gives a list, best first."""
    answers = client(demo, "qa").question_answering(
        question="Who built it?", context=CONTEXT, top_k=3
    )
    assert [answer.score for answer in answers] == sorted(
        (answer.score for answer in answers), reverse=True
    )


def test_feature_extraction(demo: Running) -> None:
    """Vectors of length 1, one per text, whatever else was in the call."""
    embed = client(demo, "embed")
    both = embed.feature_extraction(["A dog sleeps.", "Shares fell."])
    alone = embed.feature_extraction("A dog sleeps.")
    assert both.shape == (2, 384)
    assert np.abs(both[0] - alone[0]).max() < 1e-5
    assert np.linalg.norm(both, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_sentence_similarity(demo: Running) -> None:
    """The nearer sentence has the higher score."""
    near, far = client(demo, "embed").sentence_similarity(
        "The dog sleeps.", ["A dog is asleep.", "Shares fell today."]
    )
    assert near > far


def test_multiple_choice_has_a_body_of_its_own(demo: Running) -> None:
    """The client has no method for it; the choices come back with their places."""
    body = {"inputs": {"context": "It rains.", "choices": ["An umbrella.", "Sun cream.", "A hat."]}}
    scores = httpx.post(f"{demo.url}/models/social", json=body).json()
    assert {score["index"] for score in scores} == {0, 1, 2}
    assert sum(score["score"] for score in scores) == pytest.approx(1.0, abs=1e-5)


def test_pairs_of_texts(demo: Running) -> None:
    """A claim beside its evidence."""
    inputs = {
        "text": "The tower is 300 metres high.",
        "text_pair": "At 300 metres, the tower is the tallest in the city.",
    }
    answer = httpx.post(f"{demo.url}/models/claims", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()[0]) >= 2


def test_unknown_task_is_an_error_that_names_the_near_one(demo: Running) -> None:
    """Never the bare backbone's answer."""
    with pytest.raises(HfHubHTTPError, match="404") as refused:
        client(demo, "sentimant").text_classification("x")
    assert "sentiment" in refused.value.response.text


def test_every_task_of_the_demo_answers_or_waits_for_its_first_request(demo: Running) -> None:
    """Nine over trained adapters, and the bare embedding; its config says what each answers."""
    tasks = httpx.get(f"{demo.url}/tasks").json()["tasks"]
    assert {task["state"] for task in tasks} <= {"ready", "pending"}, tasks
    assert all(task["kind"] for task in tasks)
    assert len(tasks) == 10
