"""Heads of equal settings answer together, and each as it does alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from adapter_runtime.engine.answering import JOINT, Answering
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.errors import VersionFailed
from adapter_runtime.heads.layers import StackSettings, tensor_shapes
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import HeadSpec, Kind, Limits, Row, TaskSpec, TaskVersion, WorkItem
from tests.heads.plain import plain_model, states_of

DEEP = StackSettings(layers=2, activation="tanh", norm_eps=1e-5, scale=2.0)
ROWS = [Row(tuple(range(1, 3 + number))) for number in range(5)]


class Batch:
    """Rows of several tasks, dealt to them by turns, and the states of their stream."""

    def __init__(self, head_type: str, settings: StackSettings, labels: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        names = [f"head-{number}" for number in range(len(labels))]
        self.weights = {
            name: {key: torch.randn(shape) for key, shape in tensor_shapes(settings, 32, n).items()}
            for name, n in zip(names, labels, strict=True)
        }
        specs = [HeadSpec(head_type, settings, (), name) for name in names]
        self.items = [
            WorkItem(_version(specs[number % len(specs)]), row) for number, row in enumerate(ROWS)
        ]
        self.states = states_of(plain_model("bert"), ROWS)

    def run(self) -> tuple[Any, ...]:
        """The outcomes of all heads on one stream."""
        answering = Answering(self.items, self.weights)
        source = cast(StreamStates, SimpleNamespace(of=self.of))
        answering.finish(range(len(self.items)), source)
        return answering.result()

    def of(self, places: list[int]) -> Any:
        """The states of some places."""
        states = self.states
        return replace(
            states,
            starts=[states.starts[place] for place in places],
            lengths=[states.lengths[place] for place in places],
            inputs=[states.inputs[place] for place in places],
            pool=lambda: states.pool()[places],
        )

    def alone(self, place: int) -> Mapping[str, np.ndarray]:
        """What the row's head computes of it by itself."""
        spec = self.items[place].version.head
        kind = HEADS[spec.head_type]
        return kind.forward(spec, self.weights[spec.digest], self.of([place]), [False])[0]


def _version(head: HeadSpec) -> TaskVersion:
    name = head.digest
    return TaskVersion(
        name, "1", name, Kind.TEXT_CLASSIFICATION, head, None, Limits(), TaskSpec(name)
    )


@pytest.mark.parametrize("settings", (StackSettings(), DEEP, StackSettings(use_pooler=True)))
@pytest.mark.parametrize("head_type", sorted(JOINT))
def test_heads_answer_together_as_they_do_alone(head_type: str, settings: StackSettings) -> None:
    """Three tasks with other numbers of labels, rows of other lengths."""
    batch = Batch(head_type, settings, (2, 7, 3) if "answering" not in head_type else (2, 2, 2))
    for place, outcome in enumerate(batch.run()):
        for name, values in batch.alone(place).items():
            np.testing.assert_allclose(outcome[name], values, atol=1e-5)


def test_a_head_that_overflows_fails_its_own_rows_only() -> None:
    """The others are answered from the same product."""
    batch = Batch("classification", DEEP, (2, 3))
    batch.weights["head-1"]["1.weight"].fill_(torch.inf)
    failed = [isinstance(outcome, VersionFailed) for outcome in batch.run()]
    assert failed == [False, True, False, True, False]


def test_a_head_that_raises_fails_its_own_rows_only() -> None:
    """Then each of the others runs by itself."""
    batch = Batch("tagging", DEEP, (2, 3))
    del batch.weights["head-0"]["1.weight"]
    failed = [isinstance(outcome, VersionFailed) for outcome in batch.run()]
    assert failed == [True, False, True, False, True]
