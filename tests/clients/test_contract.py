"""The same questions through every protocol, by their clients, have the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from huggingface_hub import InferenceClient

from tests.clients.kserve.environment import Kserve, kserve_client
from tests.conftest import ROOT
from tests.running import Running, free_port, running_server

pytestmark = pytest.mark.timeout(600)
"""KServe's environment is built on first use."""

TEXTS = ["A warm and funny film.", "Shares fell.", "The battery died after two days: never again!"]
LABELS = ("negative", "positive")
Ask = Callable[["Place"], Any]


class Place:
    """Where the demo is served, for each client."""

    def __init__(self, running: Running, grpc_port: int, kserve: Kserve) -> None:
        self.url = running.url
        self.http = running.url.removeprefix("http://")
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.kserve = kserve

    def post(self, path: str, body: Any) -> Any:
        """The content of a good answer."""
        response = httpx.post(f"{self.url}{path}", json=body, timeout=60)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server of its own, for its second port."""
    port, log = free_port(), tmp_path_factory.mktemp("contract") / "server.log"
    options = ["--grpc-port", str(port)]
    with (
        kserve_client() as kserve,
        running_server(ROOT / "examples" / "tasks.yaml", log, options) as running,
    ):
        yield Place(running, port, kserve)


def in_order(labels: list[Mapping[str, Any]]) -> list[float]:
    """Scores in the order of `LABELS`."""
    found = {each["label"]: each["score"] for each in labels}
    return [found[label] for label in LABELS]


def by_kserve(place: Place, task: str, over: str, is_binary: bool) -> dict[str, Any]:
    """KServe's client: the output tensors, as lists."""
    where = place.grpc if over == "grpc" else place.url
    asked = {"inputs": {"text": TEXTS}, "is_binary": is_binary}
    found = place.kserve(over=over, place=where, call="infer", model=task, **asked)
    return dict(found["outputs"])


def kserve_scores(place: Place, over: str, is_binary: bool) -> list[list[float]]:
    """Scores in the order of `LABELS`."""
    found = by_kserve(place, "sentiment", over, is_binary)
    rows = [
        dict(zip(*row, strict=True)) for row in zip(found["labels"], found["scores"], strict=True)
    ]
    return [[row[label] for label in LABELS] for row in rows]


def by_triton(client: Any, module: Any, task: str, **options: Any) -> Any:
    """All inputs in one tensor."""
    array = np.array(TEXTS, dtype=np.object_)
    tensor = module.InferInput("text", [len(TEXTS)], "BYTES")
    tensor.set_data_from_numpy(array, **options)
    with client:
        return client.infer(task, [tensor])


def triton_scores(answer: Any) -> list[list[float]]:
    """Scores in the order of `LABELS`."""
    names, scores = answer.as_numpy("labels"), answer.as_numpy("scores")
    rows = [
        {name.decode(): float(score) for name, score in zip(*row, strict=True)}
        for row in zip(names, scores, strict=True)
    ]
    return [[row[label] for label in LABELS] for row in rows]


def over_http(place: Place, task: str, is_binary: bool) -> Any:
    """Triton's client for REST."""
    client = triton_http.InferenceServerClient(place.http)
    return by_triton(client, triton_http, task, binary_data=is_binary)


def over_grpc(place: Place, task: str) -> Any:
    """Triton's client for gRPC."""
    return by_triton(triton_grpc.InferenceServerClient(place.grpc), triton_grpc, task)


def by_openai(place: Place, **options: Any) -> list[list[float]]:
    """OpenAI's client."""
    with openai.OpenAI(base_url=f"{place.url}/v1", api_key="none") as client:
        found = client.embeddings.create(model="embed", input=TEXTS, **options)
    return [each.embedding for each in found.data]


CLASSES: Mapping[str, Ask] = {
    "one by one": lambda place: [
        in_order(place.post("/models/sentiment", {"inputs": text})[0]) for text in TEXTS
    ],
    "list": lambda place: list(map(in_order, place.post("/models/sentiment", {"inputs": TEXTS}))),
    "oip json": lambda place: triton_scores(over_http(place, "sentiment", False)),
    "oip binary": lambda place: triton_scores(over_http(place, "sentiment", True)),
    "grpc": lambda place: triton_scores(over_grpc(place, "sentiment")),
    "kserve json": lambda place: kserve_scores(place, "rest", False),
    "kserve binary": lambda place: kserve_scores(place, "rest", True),
    "kserve grpc": lambda place: kserve_scores(place, "grpc", True),
    "tei": lambda place: list(
        map(
            in_order,
            place.post("/models/sentiment/predict", {"inputs": [[text] for text in TEXTS]}),
        )
    ),
    "vllm": lambda place: [
        each["probs"]
        for each in place.post("/classify", {"model": "sentiment", "input": TEXTS})["data"]
    ],
    "analyze": lambda place: list(
        map(
            in_order,
            place.post("/v1/analyze", {"inputs": TEXTS, "tasks": ["sentiment", "spam", "embed"]})[
                "results"
            ]["sentiment"]["outputs"],
        )
    ),
}
VECTORS: Mapping[str, Ask] = {
    "oip json": lambda place: over_http(place, "embed", False).as_numpy("embedding"),
    "oip binary": lambda place: over_http(place, "embed", True).as_numpy("embedding"),
    "grpc": lambda place: over_grpc(place, "embed").as_numpy("embedding"),
    "kserve json": lambda place: by_kserve(place, "embed", "rest", False)["embedding"],
    "kserve binary": lambda place: by_kserve(place, "embed", "rest", True)["embedding"],
    "kserve grpc": lambda place: by_kserve(place, "embed", "grpc", False)["embedding"],
    "openai float": lambda place: by_openai(place, encoding_format="float"),
    "openai base64": lambda place: by_openai(place),
    "tei": lambda place: place.post("/models/embed/embed", {"inputs": TEXTS}),
    "analyze": lambda place: place.post("/v1/analyze", {"inputs": TEXTS, "tasks": ["embed"]})[
        "results"
    ]["embed"]["outputs"],
}


@pytest.mark.parametrize("protocol", CLASSES)
def test_classes_have_the_same_scores(place: Place, protocol: str) -> None:
    """Within what float32 differs by from batch to batch."""
    client = InferenceClient(model=f"{place.url}/models/sentiment")
    expected = [
        in_order([{"label": each.label, "score": each.score} for each in found])
        for found in map(client.text_classification, TEXTS)
    ]
    found = np.array(CLASSES[protocol](place))
    np.testing.assert_allclose(found, np.array(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("protocol", VECTORS)
def test_vectors_are_the_same(place: Place, protocol: str) -> None:
    """Within what float32 differs by from batch to batch."""
    client = InferenceClient(model=f"{place.url}/models/embed")
    expected = np.concatenate([client.feature_extraction(text) for text in TEXTS])
    found = np.array(VECTORS[protocol](place), np.float32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("path", ("similarity", "score", "rerank", "hub"))
def test_comparisons_are_the_same(place: Place, path: str) -> None:
    """Cosines, in the order of the texts."""
    body = {"source_sentence": TEXTS[0], "sentences": TEXTS}
    asked: Mapping[str, Callable[[], list[float]]] = {
        "hub": lambda: InferenceClient(model=f"{place.url}/models/embed").sentence_similarity(
            TEXTS[0], TEXTS
        ),
        "similarity": lambda: place.post("/models/embed/similarity", {"inputs": body}),
        "score": lambda: [
            each["score"]
            for each in place.post(
                "/score", {"model": "embed", "text_1": TEXTS[0], "text_2": TEXTS}
            )["data"]
        ],
        "rerank": lambda: [
            each["relevance_score"]
            for each in sorted(
                place.post("/rerank", {"model": "embed", "query": TEXTS[0], "documents": TEXTS})[
                    "results"
                ],
                key=lambda each: each["index"],
            )
        ],
    }
    vectors = np.array(place.post("/models/embed", {"inputs": TEXTS}))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(asked[path](), vectors @ vectors[0], rtol=0, atol=1e-5)
