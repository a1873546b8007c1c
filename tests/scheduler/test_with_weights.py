"""The loop over a real engine: many tasks, few slots, and every answer is the task's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from adapter_runtime import Arrays, EngineConfig, Leaf, Stack, TaskSpec, TaskVersion, WorkItem
from adapter_runtime.engine.engine import LocalEngine
from serving.scheduler.entries import Entry
from serving.scheduler.loop import BatchLimits, BatchLoop
from serving.scheduler.running import Listener
from tests.engine.workshop import Workshop, write_task
from tests.scheduler.rig import PATIENCE_S, eventually

TEXTS = ("the cat sat", "a dog saw the red house", "it was big")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    folder = tmp_path / "backbone"
    folder.mkdir()
    engine = Workshop("bert", folder, EngineConfig(streams=2, max_slots=4)).engine
    yield engine
    engine.close()


@pytest.fixture
def versions(engine: LocalEngine, tmp_path: Path) -> list[TaskVersion]:
    """Ten tasks of one adapter and two of two, admitted."""
    facts, random = engine.backbone.facts, torch.Generator().manual_seed(3)
    folders = [str(write_task(tmp_path / f"t{number}", facts, random)) for number in range(10)]
    specs = [TaskSpec(Path(folder).name, adapter=Leaf(folder)) for folder in folders]
    wide = [Stack((Leaf(one), Leaf(two))) for one, two in (folders[:2], folders[2:4])]
    specs += [TaskSpec(f"wide{number}", adapter=tree) for number, tree in enumerate(wide)]
    return [engine.prepare(spec) for spec in specs]


def alone(engine: LocalEngine, version: TaskVersion, text: str) -> Arrays:
    """One row by itself, through the engine."""
    (row,) = engine.encode(version, text, {}).rows
    (outcome,) = engine.run([WorkItem(version, row)]).outcomes
    assert not isinstance(outcome, Exception)
    return outcome


def test_every_answer_is_the_tasks_own(engine: LocalEngine, versions: list[TaskVersion]) -> None:
    """Twelve tasks on four slots, wide ones among them, thrash and are all answered."""
    expected = {
        (version.task, text): alone(engine, version, text)["logits"]
        for version in versions
        for text in TEXTS
    }
    finished: list[Entry] = []
    listener = Listener(finished.extend, lambda _: None, lambda _: None)
    loop = BatchLoop(engine, BatchLimits(max_rows=5), time.monotonic, listener)
    loop.start()
    now_s = time.monotonic()
    entries = [
        Entry(
            version,
            engine.encode(version, text, {}),
            now_s,
            now_s + PATIENCE_S,
            owner=(version.task, text),
            is_low=number % 3 == 0,
        )
        for number in range(4)
        for text in TEXTS
        for version in versions
    ]
    loop.submit(entries)
    eventually(lambda: len(finished) == len(entries))
    loop.stop()
    assert [entry.error for entry in finished if entry.error] == []
    for entry in finished:
        got = entry.answers()[0]["logits"]
        np.testing.assert_allclose(got, expected[entry.owner], atol=1e-5)  # type: ignore[index]
    assert not engine.holdings._holds
