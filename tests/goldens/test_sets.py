"""Every golden set against the library that made it, alone and in one batch with all others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.goldens import replay

LIBRARY_TOLERANCE = 2e-5  # fp32; the contract is 1e-4
ROW_TOLERANCE = 1e-5  # fp32

CASES = replay.all_cases()
BY_BACKBONE = {
    name: [case for case in CASES if case.backbone == name]
    for name in sorted({case.backbone for case in CASES})
}


@pytest.mark.parametrize("is_fast", (True, False), ids=["fast", "reference"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_raw_answers_equal_the_library(case, is_fast):
    """What the engine answers for each row is what the library computed for it alone."""
    for found, row, raw in replay.answers([case], is_fast=is_fast):
        assert replay.gap(found, row, raw) < LIBRARY_TOLERANCE


@pytest.mark.parametrize("backbone", BY_BACKBONE)
def test_rows_of_all_cases_share_one_batch(backbone):
    """All cases of a backbone in one batch, interleaved, answer as each does alone."""
    cases = BY_BACKBONE[backbone]
    alone = {
        (case.name, row): replay.members(raw)
        for each in cases
        for case, row, raw in replay.answers([each])
    }
    for case, row, raw in replay.answers(cases):
        for member, found in replay.members(raw).items():
            gap = np.abs(found - alone[case.name, row][member]).max(initial=0.0)
            assert gap < ROW_TOLERANCE, (case.name, row, member, gap)
