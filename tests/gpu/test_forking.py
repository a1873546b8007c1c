"""Rows that run as one up to some layer, on a device: what a fork reads is found there."""

import pytest

from adapter_runtime.engine import forking
from tests.engine_forward.test_forking import Bench, check_alone

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("dtype", "tolerance"), (("float32", 1e-5), ("bfloat16", 0.06)))
def test_forked_rows_equal_rows_alone(monkeypatch, dtype, tolerance):
    """Over every method, whatever else is in the batch."""
    monkeypatch.setattr(forking, "_LEAST_WORK", 0)
    bench = Bench("bert", dtype, "cuda")
    check_alone(bench, bench.jobs(), 1, tolerance)
