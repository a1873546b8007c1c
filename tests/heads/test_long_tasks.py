"""Windows in the engine: rows of other tasks beside them, batches that they span, prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from adapter_runtime import Arrays, Kind, Limits, Overflow, TaskSpec, TaskVersion, WorkItem
from adapter_runtime.engine.versions import make_version
from adapter_runtime.types import HeadWeights
from tests.engine.workshop import WORDS, Workshop
from tests.goldens import replay
from tests.heads.folders import answer, engine_on, task_on

TEXT = " ".join(WORDS * 2)
WINDOW = Limits(16, Overflow.WINDOW)
LONG: dict[Kind, Any] = {
    Kind.TEXT_CLASSIFICATION: {"text": "the cat", "text_pair": TEXT},
    Kind.TOKEN_CLASSIFICATION: TEXT,
    Kind.QUESTION_ANSWERING: {"question": "who sat", "context": TEXT},
    Kind.MULTIPLE_CHOICE: {"context": TEXT, "choices": ["a cat", "the red house", "it"]},
    Kind.FEATURE_EXTRACTION: TEXT,
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A small packed backbone."""
    made = Workshop("bert", tmp_path_factory.mktemp("windows"))
    yield made
    made.engine.close()


def windowed(workshop: Workshop, head: HeadWeights) -> TaskVersion:
    """A task that reads long inputs in windows, where that is not its head's own rule."""
    workshop.engine.library.add(head)
    spec = TaskSpec(head.spec.head_type, limits=WINDOW)
    return make_version(spec, None, head, workshop.engine.backbone)


def sound(outcomes: Any) -> list[Arrays]:
    """Outcomes, none of them an error."""
    found = list(outcomes)
    assert not [outcome for outcome in found if isinstance(outcome, Exception)]
    return found


def test_windows_answer_alike_alone_in_pieces_and_beside_other_tasks(workshop: Workshop) -> None:
    """Every kind: one batch of all tasks, a batch for each row, and batches across requests."""
    engine = workshop.engine
    versions = [windowed(workshop, head) for head in workshop.heads()]
    encoded = [engine.encode(version, LONG[version.kind], {}) for version in versions]
    assert all(len(each.rows) > 2 for each in encoded)
    assert all(len(row.input_ids) <= 16 for each in encoded for row in each.rows)
    pairs = zip(versions, encoded, strict=True)
    items = [WorkItem(version, row) for version, each in pairs for row in each.rows]
    alone = sound(engine.run([item]).outcomes[0] for item in items)
    mixed = sound(engine.run(items).outcomes)
    batches = [items[at : at + 5] for at in range(0, len(items), 5)]
    pieces = sound(one for batch in batches for one in engine.run(batch).outcomes)
    for found in (mixed, pieces):
        for one, other in zip(alone, found, strict=True):
            assert all(np.abs(one[name] - other[name]).max() <= 1e-5 for name in one)
    for version, each in zip(versions, encoded, strict=True):
        own = [one for one, item in zip(alone, items, strict=True) if item.version is version]
        assert engine.decode(version, each, own), version.task


def test_a_rule_is_shown_with_what_its_windows_become(workshop: Workshop) -> None:
    """A default aggregation by name; none where there are no windows."""
    found = {head.spec.head_type: windowed(workshop, head).limits for head in workshop.heads()}
    assert {"mean", "best", "stitch"} == {limits.aggregation for limits in found.values()}
    own = workshop.version("own", None, workshop.heads()[1]).limits
    assert (Overflow.TRUNCATE, None, None) == (own.overflow, own.stride, own.aggregation)


def test_virtual_tokens_are_counted_in_every_window() -> None:
    """A row and the prompt before it, which takes positions, fit the backbone together."""
    engine = engine_on("bert", "wordpiece")
    folder, limits = replay.checkpoints("virtual", "bert"), {"overflow": "window"}
    version = task_on(engine, folder, adapter="peft_prompt_feature_extraction", limits=limits)
    assert version.extension is not None
    room = engine.backbone.max_tokens - version.extension.num_tokens
    text = {"text": TEXT * 2, "text_pair": "who sat"}
    lengths = {len(row.input_ids) for row in engine.encode(version, text, {}).rows}
    assert room == max(lengths) == version.limits.max_tokens
    assert 32 == len(answer(engine, version, text))
