"""The calls of the load over HTTP."""

from __future__ import annotations

import random

import pytest

from adapter_runtime import Kind
from benchmarks.engine_alone import engine_rate, opened_tasks
from benchmarks.http_load import inputs, mixed_calls


def test_every_demo_task_takes_the_calls_that_are_mixed() -> None:
    """The engine answers each of them; one that it refused would end the question."""
    with opened_tasks("examples/tasks.yaml", "float32") as opened:
        calls = mixed_calls(opened, 96)
        assert {task for task, _ in calls} == {task.name for task in opened.tasks}
        assert engine_rate(opened, calls, 96, 0.01)["engine"] > 0


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_inputs_and_none_comes_twice(kind: Kind) -> None:
    """Equal rows would be shared."""
    chance = random.Random(1)
    made = [str(inputs(kind, chance)) for _ in range(20)]
    assert len(set(made)) == len(made)
