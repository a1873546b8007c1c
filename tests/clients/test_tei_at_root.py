"""A task that answers at the root, as a Text Embeddings Inference server of its own would."""

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

TEXTS = ["A man is playing the guitar.", "Shares fell."]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tasks."""
    folder = tmp_path_factory.mktemp("tasks")
    adapter = str(ROOT / "examples" / "adapters" / "sentiment")
    (folder / "sentiment.yaml").write_text(yaml.safe_dump({"adapter": adapter}))
    (folder / "embed.yaml").write_text(yaml.safe_dump({"kind": "feature-extraction"}))
    return folder


@pytest.fixture(scope="module", params=("embed", "sentiment"))
def server(
    request: pytest.FixtureRequest, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Running]]:
    """The task at the root, and the server."""
    demo = yaml.safe_load((ROOT / "examples" / "tasks.yaml").read_text())
    more = ["--backbone", demo["backbone"], "--default-task", request.param]
    with running_server(place, tmp_path_factory.mktemp("log") / "server.log", more) as running:
        yield request.param, running


def test_the_root_answers_as_the_task_s_own_address(server: tuple[str, Running]) -> None:
    """Every route, be it an answer or a refusal of another kind's question."""
    task, running = server
    bodies: dict[str, Any] = {
        "embed": {"inputs": TEXTS},
        "similarity": {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}},
        "predict": {"inputs": TEXTS[0]},
        "rerank": {"query": TEXTS[0], "texts": TEXTS},
    }
    answered = set()
    for name, body in bodies.items():
        below = httpx.post(f"{running.url}/models/{task}/{name}", json=body, timeout=60)
        root = httpx.post(f"{running.url}/{name}", json=body, timeout=60)
        assert root.status_code == below.status_code
        if root.status_code == 200:
            answered.add(name)
            assert root.headers["x-task-version"] == below.headers["x-task-version"]
            assert root.json() == below.json()
        else:
            assert root.json()["error_type"] == "Validation"
    assert answered == {"embed": {"embed", "similarity"}, "sentiment": {"predict"}}[task]


def test_the_hub_s_client_finds_vectors_at_the_root(server: tuple[str, Running]) -> None:
    """It may be given the address of the route."""
    task, running = server
    if task == "embed":
        found = InferenceClient(model=f"{running.url}/embed").feature_extraction(TEXTS[0])
        expected = InferenceClient(model=f"{running.url}/models/embed").feature_extraction(TEXTS[0])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_info_says_what_both_servers_say(server: tuple[str, Running]) -> None:
    """What clients of that server look for, and this server's own facts."""
    task, running = server
    found = httpx.get(f"{running.url}/info").json()
    assert found["model_id"] == task
    assert list(found["model_type"]) == [{"embed": "embedding", "sentiment": "classifier"}[task]]
    assert found["max_client_batch_size"] > 1
    assert found["name"] == "polyhead"
    assert found["device"] == "cpu"
    assert found["num_tasks"] == 2
