"""KServe's own client speaks the Open Inference Protocol with the demo, over REST and gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from tests.clients.kserve.environment import Kserve, kserve_client
from tests.running import ROOT, Running, free_port, running_server

pytestmark = pytest.mark.timeout(600)
"""The client's environment is built on first use."""
TEXTS = ["A warm and funny film.", "The battery died after two days: never again! Ü"]
OVER = ("rest", "grpc")
FIELDS: Mapping[str, dict[str, list[Any]]] = {
    "sentiment": {"text": TEXTS},
    "claims": {"text": TEXTS, "text_pair": ["A good film.", "It broke."]},
    "pos": {"text": TEXTS},
    "qa": {"question": ["Who sleeps?"], "context": ["The dog sleeps in the garden."]},
    "social": {"context": ["It rains."], "choices": [["I stay.", "I swim."]]},
    "embed": {"text": TEXTS},
}


class Asking:
    """The client, and a server to ask."""

    def __init__(self, ask: Kserve, running: Running, grpc_port: int) -> None:
        self._ask = ask
        self.url = running.url
        self._places = {"rest": running.url, "grpc": f"127.0.0.1:{grpc_port}"}

    def __call__(self, over: str, call: str, model: str = "", **more: Any) -> Any:
        """What the client says."""
        return self._ask(over=over, place=self._places[over], call=call, model=model, **more)


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A server with both ports."""
    port, log = free_port(), tmp_path_factory.mktemp("kserve") / "server.log"
    options = ["--grpc-port", str(port)]
    with (
        kserve_client() as ask,
        running_server(ROOT / "examples" / "tasks.yaml", log, options) as running,
    ):
        yield Asking(ask, running, port)


def numbers(value: Any) -> list[float]:
    """All fractions in an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("is_binary", (True, False), ids=("binary", "plain"))
@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("task", FIELDS)
def test_every_kind_is_answered(asking: Asking, task: str, over: str, is_binary: bool) -> None:
    """With the numbers of `POST /models/{task}`, and the request's own id."""
    fields = FIELDS[task]
    found = asking(over, "infer", task, inputs=fields, is_binary=is_binary, id="mine")
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    inputs = [row["text"] if list(row) == ["text"] else row for row in rows]
    answer = httpx.post(f"{asking.url}/models/{task}", json={"inputs": inputs}, timeout=60)
    whole = [json.loads(text) for text in found["outputs"]["json"]]
    np.testing.assert_allclose(numbers(whole), numbers(answer.json()), atol=1e-5)
    assert found["id"] == "mine"
    if over == "grpc":  # over REST the client itself drops the version
        assert found["version"] == answer.headers["x-task-version"]
    assert len(found["outputs"]) > 1


@pytest.mark.parametrize("over", OVER)
def test_parameters_and_binary_outputs_are_taken(asking: Asking, over: str) -> None:
    """`binary_data_output` is what its users set to get the outputs as bytes."""
    parameters = {"top_k": 1, "binary_data_output": True}
    found = asking(
        over,
        "infer",
        "sentiment",
        inputs={"text": TEXTS},
        is_binary=True,
        parameters=parameters,
    )
    assert found["outputs"]["label"] == ["positive", "negative"]
    assert np.array(found["outputs"]["scores"]).shape == (2, 1)


@pytest.mark.parametrize("over", OVER)
def test_the_client_finds_the_server_alive(asking: Asking, over: str) -> None:
    """And each model ready, or not."""
    assert asking(over, "is_server_live") is True
    assert asking(over, "is_server_ready") is True
    assert asking(over, "is_model_ready", "sentiment") is True
    assert asking(over, "is_model_ready", "nothing") is False


WRONG = (
    ({"model": "nothing"}, 404, "NOT_FOUND"),
    ({"inputs": {"text": [""]}}, 400, "INVALID_ARGUMENT"),
    ({"parameters": {"top_k": 0}}, 400, "INVALID_ARGUMENT"),
    ({"headers": {"x-deadline-ms": "x"}}, 400, "INVALID_ARGUMENT"),
)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize(("changed", "status", "code"), WRONG, ids=lambda one: str(one)[:30])
def test_refusals_reach_the_user(
    asking: Asking, over: str, changed: dict[str, Any], status: int, code: str
) -> None:
    """With the sentence, and the protocol's status."""
    asked = {"model": "sentiment", "inputs": {"text": TEXTS}, "is_binary": True, **changed}
    found = asking(over, "infer", **asked)
    assert found["type"] == (status if over == "rest" else code)
    assert "." in found["error"]
