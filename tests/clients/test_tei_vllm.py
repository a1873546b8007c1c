"""Clients of Text Embeddings Inference, vLLM, Jina and Cohere find their routes and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from huggingface_hub import InferenceClient

from tests.conftest import ROOT
from tests.running import Running, running_server

ADAPTERS = ROOT / "examples" / "adapters"
TEXTS = ["A man is playing the guitar.", "Shares fell."]
PAIR = ["Anna is a goalkeeper .", "Anna: Anna is a footballer who plays as a goalkeeper ."]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A folder of tasks that can be changed; `rank` answers where no task is named."""
    folder = tmp_path_factory.mktemp("tasks")
    entries: dict[str, dict[str, Any]] = {
        "sentiment": {"adapter": str(ADAPTERS / "sentiment")},
        "claims": {"adapter": str(ADAPTERS / "claims")},
        "rank": {"adapter": str(ADAPTERS / "claims"), "kind": "text-ranking"},
        "embed": {"kind": "feature-extraction"},
    }
    demo = yaml.safe_load((ROOT / "examples" / "tasks.yaml").read_text())
    entries["rank"]["options"] = {"entailment": "supported"}
    for name, entry in entries.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **entry}))
    more = ["--backbone", demo["backbone"], "--default-task", "rank"]
    with running_server(folder, tmp_path_factory.mktemp("log") / "server.log", more) as running:
        yield running


def post(server: Running, path: str, body: Any) -> httpx.Response:
    """One request."""
    return httpx.post(f"{server.url}{path}", json=body, timeout=60)


def hub(server: Running, task: str) -> InferenceClient:
    """The client that asks the hub's protocol."""
    return InferenceClient(model=f"{server.url}/models/{task}")


def test_vectors_are_those_of_the_hub_protocol(server: Running) -> None:
    """Always in a list, normalised or cut where the body says so; headers say how it went."""
    expected = np.concatenate([hub(server, "embed").feature_extraction(text) for text in TEXTS])
    found = post(server, "/models/embed/embed", {"inputs": TEXTS})
    np.testing.assert_allclose(found.json(), expected, rtol=0, atol=1e-6)
    assert found.headers["x-compute-characters"] == str(sum(map(len, TEXTS)))
    assert int(found.headers["x-compute-tokens"]) > 4
    alone = post(server, "/models/embed/embed", {"inputs": TEXTS[0], "prompt_name": None})
    np.testing.assert_allclose(alone.json(), expected[:1], rtol=0, atol=1e-6)
    short = post(server, "/models/embed/embed", {"inputs": TEXTS[0], "dimensions": 4})
    assert [len(vector) for vector in short.json()] == [4]


def test_the_hubs_client_may_name_the_embed_route(server: Running) -> None:
    """Its model is an address; both addresses give the same."""
    found = InferenceClient(model=f"{server.url}/models/embed/embed").feature_extraction(TEXTS[0])
    expected = hub(server, "embed").feature_extraction(TEXTS[0])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_one_text_or_pair_is_answered_flat_and_a_batch_nested(server: Running) -> None:
    """A list of two texts is a pair; a batch is a list of lists."""
    one = post(server, "/models/sentiment/predict", {"inputs": TEXTS[0]}).json()
    expected = hub(server, "sentiment").text_classification(TEXTS[0])
    assert [(each["label"], round(each["score"], 5)) for each in one] == [
        (each.label, round(each.score, 5)) for each in expected
    ]
    pair = post(server, "/models/claims/predict", {"inputs": PAIR}).json()
    assert len(pair) == 3
    batch = post(server, "/models/claims/predict", {"inputs": [PAIR, PAIR]}).json()
    assert [len(each) for each in batch] == [3, 3]
    assert batch[0][0]["score"] == pytest.approx(pair[0]["score"], abs=1e-5)
    raw = post(server, "/models/claims/predict", {"inputs": PAIR, "raw_scores": True}).json()
    assert [each["label"] for each in raw] == [each["label"] for each in pair]
    scores = np.exp([each["score"] for each in raw])
    np.testing.assert_allclose(scores / scores.sum(), [each["score"] for each in pair], atol=1e-5)


def test_one_path_ranks_texts_and_documents(server: Running) -> None:
    """`texts` as Text Embeddings Inference, `documents` as vLLM, Jina and Cohere; equal scores."""
    query, texts = PAIR[0], [TEXTS[0], PAIR[1], TEXTS[1]]
    tei = post(server, "/rerank", {"query": query, "texts": texts, "return_text": True}).json()
    assert [each["text"] for each in tei] == [texts[each["index"]] for each in tei]
    below = post(server, "/models/rank/rerank", {"query": query, "texts": texts}).json()
    assert [each["index"] for each in below] == [each["index"] for each in tei]
    scores = {each["index"]: each["score"] for each in below}
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        body = {"model": "rank", "query": query, "documents": texts, "top_n": 2}
        found = post(server, path, body).json()["results"]
        assert [each["index"] for each in found] == [each["index"] for each in tei][:2]
        assert found[0]["document"] == {"text": texts[found[0]["index"]]}
        for each in found:
            assert each["relevance_score"] == pytest.approx(scores[each["index"]], abs=1e-5)
    scored = post(server, "/score", {"model": "rank", "text_1": query, "text_2": texts}).json()
    for each in scored["data"]:
        assert each["score"] == pytest.approx(scores[each["index"]], abs=1e-5)


def test_vectors_score_and_rank_too(server: Running) -> None:
    """By their cosines, as `/similarity` gives them."""
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}}
    expected = post(server, "/models/embed/similarity", body).json()
    assert expected[0] == pytest.approx(1, abs=1e-5)
    assert expected == pytest.approx(hub(server, "embed").sentence_similarity(TEXTS[0], TEXTS))
    body = {"model": "embed", "queries": [TEXTS[0]] * 2, "documents": TEXTS}
    found = [each["score"] for each in post(server, "/v1/score", body).json()["data"]]
    assert found == pytest.approx(expected, abs=1e-5)


def test_classes_come_with_probabilities_in_the_order_of_the_labels(server: Running) -> None:
    """Whatever wins."""
    found = post(server, "/classify", {"model": "sentiment", "input": ["bad", "good"]}).json()
    labels = httpx.get(f"{server.url}/models/sentiment").json()["labels"]
    assert found["object"] == "list"
    assert found["usage"]["total_tokens"] > 0
    for index, each in enumerate(found["data"]):
        assert (each["index"], each["num_classes"]) == (index, len(labels))
        assert sum(each["probs"]) == pytest.approx(1, abs=1e-5)
        assert each["label"] == labels[int(np.argmax(each["probs"]))]


def test_the_information_has_the_protocols_words(server: Running) -> None:
    """Labels of a classifier with their numbers; limits."""
    found = httpx.get(f"{server.url}/models/claims/info").json()
    assert found["model_id"] == "claims"
    assert found["model_type"]["classifier"]["id2label"]["0"] == "supported"
    assert found["max_client_batch_size"] == 256


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    (
        ("/models/none/embed", {"inputs": "a"}, 404, "Validation"),
        ("/models/embed/embed", {"inputs": []}, 400, "Empty"),
        ("/models/embed/embed", {"inputs": ["a", ""]}, 400, "Empty"),
        ("/models/sentiment/predict", {"inputs": ""}, 400, "Empty"),
        ("/models/claims/predict", {"inputs": [["a", "b"], ["", ""]]}, 400, "Empty"),
        (
            "/models/embed/similarity",
            {"inputs": {"source_sentence": "a", "sentences": ["b", ""]}},
            400,
            "Empty",
        ),
        ("/models/embed/embed", {"inputs": [1, 2]}, 422, "Validation"),
        ("/models/embed/embed", {"inputs": "a", "prompt_name": "query"}, 422, "Validation"),
        ("/models/sentiment/embed", {"inputs": "a"}, 422, "Validation"),
        ("/models/sentiment/predict", {"inputs": ["a", "b", "c"]}, 422, "Validation"),
        ("/models/sentiment/predict", {"inputs": "a", "raw_scores": "x"}, 422, "Validation"),
        ("/models/sentiment/rerank", {"query": "a", "texts": ["b"]}, 422, "Validation"),
        ("/rerank", {"query": 1, "texts": ["b"]}, 422, "Validation"),
        ("/models/embed/similarity", {"inputs": "a"}, 422, "Validation"),
    ),
)
def test_tei_errors_have_their_type(
    server: Running, path: str, body: Any, status: int, kind: str
) -> None:
    """And a sentence."""
    found = post(server, path, body)
    assert (found.status_code, found.json()["error_type"]) == (status, kind)
    assert found.json()["error"].endswith(".")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    (
        ("/classify", {"model": "none", "input": "a"}, 404, "NotFoundError"),
        ("/classify", {"model": "embed", "input": "a"}, 400, "BadRequestError"),
        ("/classify", {"model": "sentiment", "input": []}, 400, "BadRequestError"),
        ("/rerank", {"model": "rank", "query": "a", "documents": []}, 400, "BadRequestError"),
        (
            "/rerank",
            {"model": "sentiment", "query": "a", "documents": ["b"]},
            400,
            "BadRequestError",
        ),
        (
            "/score",
            {"model": "rank", "text_1": ["a", "b"], "text_2": ["c"]},
            400,
            "BadRequestError",
        ),
        ("/classify", {"model": "", "input": "a"}, 400, "BadRequestError"),
        ("/classify", {"model": 0, "input": "a"}, 400, "BadRequestError"),
        (
            "/classify",
            {"model": "sentiment", "input": "a", "use_activation": False},
            400,
            "BadRequestError",
        ),
        ("/score", {"text_1": "a", "text_2": "b", "nonsense": 1}, 400, "BadRequestError"),
        (
            "/v1/load_lora_adapter",
            {"lora_name": "x", "lora_path": "y", "load_inplace": "yes"},
            400,
            "BadRequestError",
        ),
        ("/v1/unload_lora_adapter", {"lora_name": "none"}, 404, "NotFoundError"),
        ("/v1/load_lora_adapter", {"lora_name": "x"}, 400, "BadRequestError"),
    ),
)
def test_vllm_errors_have_their_type(
    server: Running, path: str, body: Any, status: int, kind: str
) -> None:
    """And the status as their code."""
    found = post(server, path, body)
    assert (found.status_code, found.json()["error"]["type"]) == (status, kind)
    assert found.json()["error"]["code"] == status


def test_an_adapter_is_loaded_asked_replaced_and_unloaded(server: Running) -> None:
    """As vLLM's documentation has it; success is said when it answers."""
    load = {"lora_name": "mood", "lora_path": str(ADAPTERS / "sentiment")}
    answer = post(server, "/v1/load_lora_adapter", load)
    assert answer.text == "Success: LoRA adapter 'mood' added successfully."
    bodies = [{"model": name, "input": TEXTS[0]} for name in ("mood", "sentiment")]
    found, expected = (post(server, "/classify", body).json()["data"][0] for body in bodies)
    assert found["probs"] == pytest.approx(expected["probs"], abs=1e-5)
    again = post(server, "/v1/load_lora_adapter", load)
    assert (again.status_code, again.json()["error"]["type"]) == (400, "InvalidUserInput")
    other = {**load, "lora_path": str(ADAPTERS / "claims"), "load_inplace": True}
    assert post(server, "/v1/load_lora_adapter", other).status_code == 200
    assert post(server, "/classify", bodies[0]).json()["data"][0]["num_classes"] == 3
    answer = post(server, "/v1/unload_lora_adapter", {"lora_name": "mood"})
    assert answer.text == "Success: LoRA adapter 'mood' removed successfully."
    assert post(server, "/classify", bodies[0]).status_code == 404


def test_an_adapter_that_cannot_be_served_is_not_said_to_be_loaded(
    server: Running, tmp_path: Path
) -> None:
    """And leaves no task behind."""
    load = {"lora_name": "broken", "lora_path": str(tmp_path)}
    answer = post(server, "/v1/load_lora_adapter", load)
    assert 400 <= answer.status_code < 500
    names = [each["name"] for each in httpx.get(f"{server.url}/tasks").json()["tasks"]]
    assert "broken" not in names
