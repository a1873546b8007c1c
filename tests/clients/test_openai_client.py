"""OpenAI's own client lists tasks and asks for vectors, against the demo in its own process."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient

from tests.running import Running

TEXTS = ["A man is playing the guitar.", "Shares fell."]


@pytest.fixture(scope="module")
def client(demo: Running) -> Iterator[openai.OpenAI]:
    """The client as its documentation makes it."""
    with openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_every_task_is_a_model(client: openai.OpenAI) -> None:
    """By its name, with the backbone as its parent; one can be looked at alone."""
    found = {model.id: model for model in client.models.list()}
    assert {"sentiment", "embed", "qa"} <= set(found)
    assert client.models.retrieve("sentiment") == found["sentiment"]
    sentiment = found["sentiment"].to_dict()
    assert sentiment["parent"]
    assert str(sentiment["root"]).endswith("sentiment")


def test_vectors_are_those_of_the_hub_protocol(client: openai.OpenAI, demo: Running) -> None:
    """In both encodings, of one text and of several."""
    hub = InferenceClient(model=f"{demo.url}/models/embed")
    expected = np.concatenate([hub.feature_extraction(text) for text in TEXTS])
    binary = client.embeddings.create(model="embed", input=TEXTS)
    plain = client.embeddings.create(model="embed", input=TEXTS, encoding_format="float")
    assert [each.index for each in binary.data] == [0, 1]
    for found in (binary, plain):
        vectors = np.array([each.embedding for each in found.data], np.float32)
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)
    alone = client.embeddings.create(model="embed", input=TEXTS[0], dimensions=8)
    assert len(alone.data[0].embedding) == 8
    assert alone.usage.total_tokens == alone.usage.prompt_tokens > 2


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """Never another task's answer; the error has a code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="none", input="A text.")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_a_task_without_vectors_says_what_it_answers(client: openai.OpenAI) -> None:
    """A classification is no embedding."""
    with pytest.raises(openai.BadRequestError, match="text-classification"):
        client.embeddings.create(model="sentiment", input="A text.")


@pytest.mark.parametrize(
    ("body", "said"),
    (
        ({"model": "embed", "input": [101, 102]}, "token ids"),
        ({"model": "embed", "input": []}, "text"),
        ({"model": "embed"}, "text"),
        ({"input": "A text."}, "model"),
        ({"model": "embed", "input": "A text.", "encoding_format": "int8"}, "base64"),
        ({"model": "embed", "input": "A text.", "dimensions": 0}, "dimensions"),
        ({"model": "embed", "input": "A text.", "strange": 1}, "strange"),
    ),
)
def test_a_wrong_body_is_refused_in_words(demo: Running, body: dict, said: str) -> None:
    """With all four members of the protocol's error."""
    response = httpx.post(f"{demo.url}/v1/embeddings", json=body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert said in error["message"]
