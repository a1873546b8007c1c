"""The demo's task file, weights, cards and expected numbers belong together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKS: dict[str, Any] = {
    task["name"]: task
    for task in yaml.safe_load(EXAMPLES.joinpath("tasks.yaml").read_text())["tasks"]
}
EXPECTED = json.loads(EXAMPLES.joinpath("expected.json").read_text())["tasks"]
TRAINED = [name for name, task in TASKS.items() if "adapter" in task]
MAX_BYTES = 1_500_000


def softmax(logits: list[float]) -> list[float]:
    """Probabilities of one row of logits."""
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def numbers(value: Any) -> list[float]:
    """All numbers in nested lists and dicts."""
    if isinstance(value, int | float):
        return [float(value)]
    nested = value.values() if isinstance(value, dict) else value
    return [number for item in nested for number in numbers(item)]


@pytest.mark.parametrize("name", TRAINED)
def test_weights_are_small_and_their_card_says_how_good_they_are(name: str) -> None:
    """A committed adapter fits the size limit and has a measured card."""
    folder = EXAMPLES / TASKS[name]["adapter"]
    card = folder.joinpath("README.md").read_text()

    assert sum(path.stat().st_size for path in folder.iterdir()) <= MAX_BYTES
    assert all(part in card for part in ("Licence", "Rows", "held out", "Command", "Poor at"))


@pytest.mark.parametrize("name", TRAINED)
def test_saved_configs_name_the_backbone_and_no_local_path(name: str) -> None:
    """A checkpoint tells what it was trained on, not where."""
    config = json.loads(
        EXAMPLES.joinpath(TASKS[name]["adapter"], "adapter_config.json").read_text()
    )

    backbone = config.get("base_model_name_or_path", config.get("model_name"))
    assert "sentence-transformers/all-MiniLM-L6-v2" == backbone


@pytest.mark.parametrize("name", [name for name in TASKS if name != "evidence"])
def test_every_task_has_numbers_from_the_library_that_made_it(name: str) -> None:
    """The served demo can be held against finite reference numbers."""
    assert len(EXPECTED[name]) >= 3
    for case in EXPECTED[name]:
        found = numbers(case.get("logits") or case["embedding"])
        assert found
        assert all(map(math.isfinite, found))


@pytest.mark.parametrize("name", ("sentiment", "spam", "intent", "claims"))
def test_golden_scores_follow_from_the_reference_logits(name: str) -> None:
    """The examples that admission checks are the library's own answers."""
    cases = {json.dumps(case["inputs"]): case["logits"] for case in EXPECTED[name]}
    for example in TASKS[name]["examples"]:
        score = max(softmax(cases[json.dumps(example["inputs"])]))
        assert score == pytest.approx(example["expect"]["score"], abs=1e-3)


def test_a_ranking_has_the_scores_of_its_pairs() -> None:
    """What `evidence` says of a claim and a text follows from what the library says of the pair."""
    assert TASKS["evidence"]["adapter"] == TASKS["claims"]["adapter"]
    pairs = {tuple(case["inputs"].values()): case["logits"] for case in EXPECTED["claims"]}
    (example,) = TASKS["evidence"]["examples"]
    best = example["expect"]
    logits = pairs[example["inputs"]["query"], example["inputs"]["texts"][best["index"]]]
    assert max(softmax(logits)) == pytest.approx(best["score"], abs=1e-3)
