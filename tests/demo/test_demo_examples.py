"""The demo's task file is admitted, because every expected answer in it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapter_runtime import Example, RejectedAdapter, TaskSpec
from serving.opening import Opened, open_catalog, open_tasks
from serving.settings import Settings
from tests.running import ROOT

SETTINGS = Settings(tasks=str(ROOT / "examples" / "tasks.yaml"), strict=True)
SPECS = {plan.name: plan.versions[-1].spec for plan in open_catalog(SETTINGS)[1].plans}


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """The demo as `polyhead serve --strict` opens it."""
    made = open_tasks(SETTINGS, open_catalog(SETTINGS))
    yield made
    made.engine.close()


def test_every_task_starts_with_its_examples_checked(opened: Opened) -> None:
    """Each task has an example, and none fails."""
    assert all(spec.examples for spec in SPECS.values())
    assert {task.name for task in opened.tasks} == set(SPECS)
    assert all(version.is_ready for task in opened.tasks for version in task.versions)


@pytest.mark.parametrize("name", [name for name in SPECS if name != "embed"])
def test_a_task_whose_answer_is_another_does_not_start(opened: Opened, name: str) -> None:
    """The check looks at the answer: another task's expectation is refused."""
    spec: TaskSpec = SPECS[name]
    wrong = (Example(spec.examples[0].inputs, {"label": "other", "entity": "X", "answer": "?"}),)
    with pytest.raises(RejectedAdapter, match=r"example_failed.*examples\[0\]"):
        opened.engine.prepare(replace(spec, examples=wrong))
