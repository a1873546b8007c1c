"""Half a minute of what `make soak` does for ten."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak import soak
from benchmarks.soak_questions import difference


@pytest.mark.timeout(180)
def test_half_a_minute_of_everything_at_once(tmp_path: Path) -> None:
    """All protocols, changing tasks, clients who leave: no wrong answer, no growth."""
    soaked = soak(30.0, tmp_path)
    assert soaked.problems == []
    asked = {"hub", "hub list", "oip", "openai", "tei", "vllm", "analyze"}
    assert asked <= soaked.asked.keys()
    assert min(soaked.asked["left"], soaked.asked["changing"], soaked.statuses[200]) > 50
    assert soaked.changes["201"] > 1


@pytest.mark.parametrize(
    ("found", "place"),
    (
        ({"a": [1.0, {"b": "x"}], "id": 2, "encode_ms": 3}, ""),
        ({"a": [1.00001, {"b": "x"}], "id": 1, "encode_ms": 1}, ""),
        ({"a": [1.001, {"b": "x"}], "id": 1, "encode_ms": 1}, ".a[0]: 1.001"),
        ({"a": [1.0, {"b": "y"}], "id": 1, "encode_ms": 1}, ".a[1].b: 'y' for 'x'"),
        ({"a": [1.0], "id": 1, "encode_ms": 1}, ".a: [1.0] for [1.0, {'b': 'x'}]"),
    ),
)
def test_wrong_answers_are_noticed(found: object, place: str) -> None:
    """Else the soak could not fail."""
    assert difference(found, {"a": [1.0, {"b": "x"}], "id": 1, "encode_ms": 1}) == place
