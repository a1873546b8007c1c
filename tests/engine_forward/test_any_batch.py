"""Whatever meets in a batch, forked at any layer: each row answers as it does alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_runtime import Arrays, Row, WorkItem
from adapter_runtime.engine import forking
from tests.goldens import replay

TOLERANCE = 1e-5  # fp32, of numbers of size one to three
MOST_TASKS = 60
FORKING = ("bert", "roberta", "electra", "distilbert", "xlm-roberta-xl")
OTHERS = ("gpt2", "t5", "deberta")

Asked = tuple[replay.Case, Row]


@cache
def cases(backbone: str) -> list[replay.Case]:
    """Some of every golden set over a backbone: adapters, prompts, compositions, heads."""
    found = [case for case in replay.all_cases() if case.backbone == backbone]
    return found[:: -(-len(found) // MOST_TASKS)]


@cache
def texts(backbone: str) -> list[Row]:
    """A few rows that any task may be asked, so that equal ones meet."""
    rows = (row for case in cases(backbone) for row in case.rows() if row.word_starts is None)
    return list(dict.fromkeys(rows))[:3]


def run(backbone: str, asked: list[Asked]) -> list[Arrays]:
    """One batch of them."""
    items = [WorkItem(replay.version_of(case), row) for case, row in asked]
    outcomes = replay.engine(backbone, is_fast=True).run(items).outcomes
    assert not [each for each in outcomes if isinstance(each, Exception)]
    return list(outcomes)  # type: ignore[arg-type]


_ALONE: dict[tuple[str, Row], Arrays] = {}


def alone(case: replay.Case, row: Row) -> Arrays:
    """What a row comes to by itself."""
    if (case.name, row) not in _ALONE:
        _ALONE[case.name, row] = run(case.backbone, [(case, row)])[0]
    return _ALONE[case.name, row]


@st.composite
def batches(draw: Any, backbone: str) -> list[Asked]:
    """Rows of any tasks; a head that reads marks gets rows that have them."""
    chosen = draw(st.lists(st.sampled_from(cases(backbone)), min_size=2, max_size=24))
    marked = [[row for row in case.rows() if row.word_starts] for case in chosen]
    return [
        (case, draw(st.sampled_from(own or texts(backbone))))
        for case, own in zip(chosen, marked, strict=True)
    ]


@pytest.mark.parametrize("backbone", (*FORKING, *OTHERS))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_each_row_of_any_batch_answers_as_alone(
    backbone: str, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be the saving of a fork ever so small."""
    monkeypatch.setattr(forking, "_LEAST_WORK", 0)
    asked = data.draw(batches(backbone))
    for (case, row), outcome in zip(asked, run(backbone, asked), strict=True):
        expected = alone(case, row)
        assert expected.keys() == outcome.keys()
        for name, numbers in expected.items():
            gap = np.abs(numbers - outcome[name]).max(initial=0.0)
            assert gap <= TOLERANCE, (case.name, row, name, gap)
