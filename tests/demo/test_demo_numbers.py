"""`polyhead batch --raw` on the demo equals the libraries that trained it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.running import POLYHEAD, ROOT, settings

TOLERANCE = 1e-4  # fp32 logits
EXPECTED = json.loads((ROOT / "examples" / "expected.json").read_text())["tasks"]
LINES = [(task, row) for task, rows in EXPECTED.items() for row in rows]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """All reference inputs scored in one run, tasks mixed, hidden states of `embed` included."""
    folder = tmp_path_factory.mktemp("batch")
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    lines = [json.dumps({"task": task, "inputs": row["inputs"]}) for task, row in LINES]
    source.write_text("\n".join(lines[::-1]) + "\n")
    run_batch(source, target)
    return [json.loads(line) for line in target.read_text().splitlines()][::-1]


def run_batch(source: Path, target: Path) -> None:
    """The command as a user runs it."""
    command = [POLYHEAD, "batch", "--tasks", "examples/tasks.yaml", "--raw"]
    command += ["--input", str(source), "--output", str(target)]
    done = subprocess.run(command, cwd=ROOT, env=settings(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def numbers(logits: object) -> np.ndarray:
    """Logits of any kind as one array."""
    if isinstance(logits, dict):
        return np.array([*logits["start"], *logits["end"]])
    return np.array(logits)


@pytest.mark.parametrize("place", range(len(LINES)), ids=lambda place: LINES[place][0])
def test_numbers_are_those_of_the_library(place: int, answers: list[dict]) -> None:
    """Every logit, and the vector of the bare backbone."""
    (task, expected), answer = LINES[place], answers[place]
    assert answer["task"] == task
    if "logits" in expected:
        gap = np.abs(numbers(answer["logits"]) - numbers(expected["logits"]))
    else:
        gap = np.abs(np.array(answer["outputs"]) - np.array(expected["embedding"]))
    assert gap.max() <= TOLERANCE
