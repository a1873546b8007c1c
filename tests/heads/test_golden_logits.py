"""Every head gives the logits of the library that saved it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Arrays, Encoded, HeadWeights, Row
from tests.goldens.heads.backbones import HAS_TYPES, ROWS, TYPES
from tests.heads.plain import facts, plain_model, run_head, states_of, write_case

GOLDENS = Path(__file__).parent.parent / "goldens" / "heads"
TOLERANCE = 1e-5


def load(path: Path) -> dict[str, dict[str, Any]]:
    """The cases of a golden file."""
    cases: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return cases


CASES = load(GOLDENS / "cases.json")
LABELLED = [name for name in CASES if "/tagging" in name and not name.startswith("peft")]


def rows_of(case: dict[str, Any], *, reads_types: bool) -> list[Row]:
    """The golden inputs; a choice case repeats the first row with its last token replaced."""
    has_types = case["model_type"] in HAS_TYPES and reads_types
    if case["head_type"] == "multiple_choice":
        ids = [(*ROWS[0][:-1], 3 + choice) for choice in range(len(case["logits"]))]
        return [Row(row, TYPES[0] if has_types else None) for row in ids]
    return [Row(ids, types if has_types else None) for ids, types in zip(ROWS, TYPES, strict=True)]


def check_logits(case: dict[str, Any], head: HeadWeights, outcomes: Sequence[Arrays]) -> None:
    """The head's raw members equal the golden's logits."""
    kind = HEADS[head.spec.head_type]
    if case["head_type"] == "multiple_choice":
        found: Any = kind.raw(head.spec, Encoded(()), outcomes)["logits"]
    else:
        found = [kind.raw(head.spec, Encoded(()), [outcome])["logits"] for outcome in outcomes]
    if case["head_type"] == "question_answering":
        found = [[answer["start"], answer["end"]] for answer in found]
    assert flat(case["logits"]) == pytest.approx(flat(found), abs=TOLERANCE)


def flat(values: Any) -> np.ndarray:
    """Ragged nested lists as one vector."""
    if isinstance(values, list):
        return np.concatenate([flat(value) for value in values])
    return np.array([values])


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_the_librarys(name: str, tmp_path: Path) -> None:
    """A saved head, read and run on the plain backbone's states, answers as its library did."""
    case = CASES[name]
    head = read_head(write_case(case, tmp_path), facts(case["model_type"]))
    assert head is not None
    assert case["head_type"] == head.spec.head_type
    rows = rows_of(case, reads_types=head.spec.settings.reads_types)
    outcomes = run_head(head, states_of(plain_model(case["model_type"]), rows))
    check_logits(case, head, outcomes)


@pytest.mark.parametrize("name", LABELLED)
def test_label_names_survive(name: str, tmp_path: Path) -> None:
    """Labels come out in the order of their ids."""
    case = CASES[name]
    head = read_head(write_case(case, tmp_path), facts(case["model_type"]))
    assert head is not None
    assert ("negative", "neutral", "positive") == head.spec.labels
