"""Every method, flag and architecture against the library that made the checkpoint."""

from __future__ import annotations

from functools import cache

import pytest

from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from tests.engine_forward.collect import Collect, gaps
from tests.methods import golden

LIBRARY_TOLERANCE = 2e-5  # fp32; the contract is 1e-4
ROW_TOLERANCE = 1e-5  # fp32


@cache
def runner(model_type, *, is_fast):
    """A runner with every golden of the architecture resident."""
    backbone = golden.backbone(model_type)
    slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
    found = {}
    for case in golden.CASES[model_type]:
        for adapter in golden.adapters(model_type, case["name"]):
            found[adapter.digest] = adapter
            slots.acquire(adapter)
    reference = ReferenceRouter(found.__getitem__, METHODS)
    return BatchRunner(backbone, slots, 1, None if is_fast else reference)


def run(model_type, names, *, is_fast=True):
    """Every row of every named case, interleaved by case."""
    jobs = [
        Job(row, golden.composition(model_type, name))
        for row in golden.rows(model_type)
        for name in names
    ]
    found = Collect()
    report = runner(model_type, is_fast=is_fast).run(jobs, found)
    assert not report.errors, report.errors
    return found


@pytest.mark.parametrize("is_fast", (True, False), ids=["fast", "reference"])
@pytest.mark.parametrize(("model_type", "name"), golden.ALL)
def test_states_equal_the_library(model_type, name, is_fast):
    """Final hidden states are those of the library that saved the checkpoint."""
    found = run(model_type, [name], is_fast=is_fast)
    assert gaps(found, golden.expected(model_type, name)) < LIBRARY_TOLERANCE


@pytest.mark.parametrize("model_type", golden.CASES)
def test_rows_of_all_methods_share_one_batch(model_type):
    """Every golden of a backbone in one batch gives what each gives alone."""
    names = [case["name"] for case in golden.CASES[model_type]]
    together = run(model_type, names)
    for number, name in enumerate(names):
        alone = run(model_type, [name])
        for row, states in alone.states.items():
            other = together.states[row * len(names) + number]
            assert float((states - other).abs().max()) < ROW_TOLERANCE, name
