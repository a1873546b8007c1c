"""Triton's own client speaks the Open Inference Protocol with the demo, every kind of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.running import Running

Fields = dict[str, list[Any]]
REQUESTS: tuple[tuple[str, Fields, dict[str, Any]], ...] = (
    ("sentiment", {"text": ["A warm and funny film.", "The battery died."]}, {}),
    ("sentiment", {"text": ["A warm and funny film."]}, {"top_k": 1, "function_to_apply": "none"}),
    ("spam", {"text": ["Claim your free prize now!"]}, {}),
    ("pos", {"text": ["The old dog sleeps.", "Ann left."]}, {}),
    ("pos", {"text": ["The old dog sleeps."]}, {"aggregation_strategy": "simple"}),
    (
        "qa",
        {
            "question": ["Where does the dog sleep?", "Who sleeps?"],
            "context": ["The dog sleeps in the garden."] * 2,
        },
        {},
    ),
    ("intent", {"text": ["Will it rain tomorrow?"]}, {"top_k": 3}),
    ("package-tags", {"text": ["libpng-dev: PNG library - development headers"]}, {}),
    ("claims", {"text": ["Ann plays golf."], "text_pair": ["Ann is a golfer."]}, {}),
    (
        "social",
        {"context": ["It rains."] * 2, "choices": [["I stay.", "I swim."], ["I go.", "I run."]]},
        {},
    ),
    ("embed", {"text": ["A man is playing the guitar.", "Shares fell."]}, {"normalize": True}),
    ("embed", {"source_sentence": ["The dog sleeps."], "sentences": [["A dog.", "A cat."]]}, {}),
)


@pytest.fixture(scope="module")
def client(demo: Running) -> Iterator[triton.InferenceServerClient]:
    """The client, with the demo behind it."""
    with triton.InferenceServerClient(demo.address, network_timeout=60.0) as made:
        yield made


def tensors(fields: Fields, is_binary: bool = False) -> list[triton.InferInput]:
    """Input tensors as a user of the client makes them."""
    found = []
    for name, texts in fields.items():
        array = np.array(texts, dtype=np.object_)
        tensor = triton.InferInput(name, list(array.shape), "BYTES")
        found.append(tensor.set_data_from_numpy(array, binary_data=is_binary))
    return found


def hub_answer(demo: Running, task: str, fields: Fields, parameters: dict[str, Any]) -> Any:
    """What `POST /models/{task}` says to the same inputs."""
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    body = {"inputs": [row["text"] if list(row) == ["text"] else row for row in rows]}
    url = f"{demo.url}/models/{task}"
    response = httpx.post(url, json={**body, "parameters": parameters}, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def numbers(value: Any) -> list[float]:
    """All fractions in an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize(("task", "fields", "parameters"), REQUESTS)
def test_every_kind_is_answered_as_by_the_hubs_protocol(
    demo: Running,
    client: triton.InferenceServerClient,
    task: str,
    fields: Fields,
    parameters: dict[str, Any],
) -> None:
    """The same answer as JSON, the same numbers as tensors, and the shapes that were promised."""
    promised = {each["name"]: each for each in client.get_model_metadata(task)["outputs"]}
    expected = hub_answer(demo, task, fields, parameters)
    result = client.infer(task, tensors(fields), request_id="mine", parameters=parameters)
    response = result.get_response()
    found = {each["name"]: result.as_numpy(each["name"]) for each in response["outputs"]}
    whole = [json.loads(text) for text in found.pop("json")]
    np.testing.assert_allclose(numbers(whole), numbers(expected), atol=1e-5)
    assert (response["id"], response["model_name"]) == ("mine", task)
    assert found or task == "embed"
    fractions = [array for array in found.values() if array.dtype == np.float32]
    most = max(fractions, key=lambda array: array.size)
    np.testing.assert_allclose(most.ravel(), numbers(whole), atol=1e-6)
    for name, array in found.items():
        assert name == "similarity" or len(promised[name]["shape"]) == array.ndim


def test_best_labels_stand_in_rows(client: triton.InferenceServerClient) -> None:
    """What most clients want of a classification: one label and one score per text."""
    texts = {"any-name": ["A warm, funny and beautifully acted film.", "The battery died at once."]}
    wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in ("label", "score")]
    result = client.infer("sentiment", tensors(texts), outputs=wanted)
    assert result.as_numpy("label").tolist() == ["positive", "negative"]
    assert result.as_numpy("score").dtype == np.float32
    assert result.as_numpy("json") is None


def test_a_version_can_be_asked_by_its_id(client: triton.InferenceServerClient) -> None:
    """The answer names it, and its own routes know it."""
    texts = tensors({"text": ["A warm film."]})
    version = client.infer("sentiment", texts).get_response()["model_version"]
    assert version in client.get_model_metadata("sentiment")["versions"]
    assert client.is_model_ready("sentiment", version)
    again = client.infer("sentiment", texts, model_version=version)
    assert again.get_response()["model_version"] == version
    with pytest.raises(InferenceServerException, match="has no version 'x'"):
        client.infer("sentiment", texts, model_version="x")


def test_the_client_finds_the_server_alive(client: triton.InferenceServerClient) -> None:
    """Health, metadata, load and unload, as its methods ask for them."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata()["name"] == "polyhead"
    client.load_model("intent")
    assert client.get_model_metadata("intent")["parameters"]["state"] == "ready"
    client.unload_model("intent")
    assert client.is_model_ready("intent")
    assert client.infer("intent", tensors({"text": ["Play a song"]})).as_numpy("label").size == 1


@pytest.mark.parametrize(("task", "fields"), [(task, fields) for task, fields, _ in REQUESTS[3:]])
def test_binary_tensors_hold_what_json_says(
    client: triton.InferenceServerClient, task: str, fields: Fields
) -> None:
    """Texts in as bytes, as the client sends them unless told otherwise; every output likewise."""
    stated = client.infer(task, tensors(fields))
    names = [each["name"] for each in stated.get_response()["outputs"]]
    wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in names]
    plain = client.infer(task, tensors(fields), outputs=wanted)
    binary = client.infer(task, tensors(fields, is_binary=True))
    assert all("data" not in each for each in binary.get_response()["outputs"])
    for name in set(names) - {"json"}:
        found, expected = binary.as_numpy(name), plain.as_numpy(name)
        assert found.shape == expected.shape
        if expected.dtype == np.object_:
            assert [text.decode() for text in found.ravel()] == expected.ravel().tolist()
        else:
            np.testing.assert_allclose(found, expected, atol=1e-5)


TEXT = b'{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}'
BODIES: tuple[bytes, ...] = (
    b"",
    b"\x00\xff",
    b"null",
    b"[]",
    b'"inputs"',
    b"{}",
    b"{'inputs': []}",
    b'{"inputs": NaN}',
    b'{"inputs":' + b"[" * 5000,
    b'{"inputs":null}',
    b'{"inputs":[null]}',
    b'{"inputs":[[]]}',
    b'{"inputs":[{}]}',
    b'{"inputs":[' + TEXT.replace(b"[1]", b"[99999999999999999999999999]") + b"]}",
    b'{"inputs":[' + TEXT.replace(b"[1]", b"[1e400]") + b"]}",
    b'{"inputs":[' + TEXT.replace(b"[1]", b"[9223372036854775807,9223372036854775807]") + b"]}",
    b'{"inputs":[' + TEXT.replace(b'["a"]', b"[NaN]") + b"]}",
    b'{"inputs":[' + TEXT.replace(b'["a"]', b'["\\ud800"]') + b"]}",
    b'{"inputs":[' + TEXT.replace(b'["a"]', b'[""]') + b"]}",
    b'{"inputs":[' + TEXT.replace(b'["a"]', b'[{"a":1}]') + b"]}",
    b'{"inputs":[' + TEXT.replace(b'"BYTES"', b'"FP16"') + b"]}",
    b'{"inputs":[' + TEXT.replace(b'"text"', b'{"x":[]}') + b"]}",
    b'{"inputs":[' + TEXT + b"," + TEXT + b"]}",
    b'{"inputs":[' + TEXT + b'],"id":7}',
    b'{"inputs":[' + TEXT + b'],"id":{}}',
    b'{"inputs":[' + TEXT + b'],"parameters":[]}',
    b'{"inputs":[' + TEXT + b'],"parameters":{"top_k":{}}}',
    b'{"inputs":[' + TEXT + b'],"parameters":{"top_k":"many"}}',
    b'{"inputs":[' + TEXT + b'],"parameters":{"top_k":1e999}}',
    b'{"inputs":[' + TEXT + b'],"parameters":{"nonsense":1}}',
    b'{"inputs":[' + TEXT + b'],"outputs":"label"}',
    b'{"inputs":[' + TEXT + b'],"outputs":[{"name":null}]}',
    b'{"inputs":[' + TEXT + b'],"outputs":[{"name":"embedding"}]}',
    b'{"inputs":[{"name":"json","datatype":"BYTES","shape":[1],"data":["[[[1]]]"]}]}',
    b'{"inputs":[{"name":"json","datatype":"BYTES","shape":[1],"data":["1e999"]}]}',
    b'{"inputs":[{"name":"json","datatype":"BYTES","shape":[1],"data":["{\\"text\\":{}}"]}]}',
    b'{"inputs":[{"name":"question","datatype":"BYTES","shape":[1],"data":["a"]}]}',
)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:60].decode("latin-1"))
def test_a_bad_body_is_the_clients_error(demo: Running, body: bytes) -> None:
    """400 with one sentence, whatever is wrong; never 500."""
    url = f"{demo.url}/v2/models/sentiment/infer"
    response = httpx.post(url, content=body, timeout=60)
    assert response.status_code == 400, response.text
    assert list(response.json()) == ["error"]
    assert len(response.json()["error"]) > len("inputs: ")
