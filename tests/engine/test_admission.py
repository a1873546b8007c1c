import re
from dataclasses import replace

import pytest

from adapter_runtime import (
    Example,
    RejectedAdapter,
    Residency,
    Stack,
    TaskSpec,
)
from adapter_runtime.engine import examples
from tests.engine.workshop import TEXT, answer

ADAPTER_BYTES = 4 * 2 * 2 * 2 * 8 * 32  # fp32: 2 layers, query and value, down and up, rank 8
HEAD_BYTES = 4 * (2 * 32 + 2)


def stacked(specs):
    """One task over the adapters of several."""
    return TaskSpec("stack", adapter=Stack(tuple(spec.adapter for spec in specs)))


def refusal(engine, spec):
    """The one reason why a task is not admitted, the same from the doctor."""
    with pytest.raises(RejectedAdapter) as refused:
        engine.prepare(spec)
    (problem,) = refused.value.problems
    assert engine.inspect(spec).problems == (problem,)
    return problem


def test_examples_that_hold_admit_a_task(opened, tasks):
    """The top item, all items, numbers within their tolerance, and any answer at all."""
    engine = opened()
    best, other = answer(engine, engine.prepare(tasks[0]))
    expected = (
        {"label": best.label, "score": best.score + 0.009},
        {"label": best.label, "score": best.score + 0.2, "tolerance": 0.21},
        [{"label": best.label}, {"label": other.label, "score": other.score}],
        None,
    )
    examples = tuple(Example(TEXT, expect) for expect in expected)
    spec = replace(tasks[0], examples=examples)
    assert engine.inspect(spec).accepted
    assert engine.prepare(spec).task == "a"


WRONG = (
    ({"label": "maybe"}, "expected 'maybe' and found"),
    ({"score": 0.5, "tolerance": 0}, r"score: expected 0\.5 and found 0\."),
    ({"lable": "yes"}, "expected lable and found label, score only"),
    ([{"label": "yes"}], "expected 1 items and found 2"),
    ({"label": False}, "expected False and found"),
    ("yes", "expected 'yes' and found"),
)


@pytest.mark.parametrize(("expect", "words"), WRONG)
def test_an_example_that_does_not_hold_rejects_the_task(opened, tasks, expect, words):
    """The reason says which example, what was expected and what was found."""
    spec = replace(tasks[0], examples=(Example(TEXT), Example(TEXT, expect)))
    problem = refusal(opened(), spec)
    assert problem.code == "example_failed"
    assert problem.message.startswith("examples[1]: ")
    assert re.search(words, problem.message)


def test_an_example_of_very_many_rows_is_refused(opened, tasks, monkeypatch):
    """Other versions wait for their checks meanwhile, so each check has an end."""
    monkeypatch.setattr(examples, "MAX_ROWS", 0)
    problem = refusal(opened(), replace(tasks[0], examples=(Example(TEXT),)))
    assert "makes 1 rows; an example may make 0" in problem.message


def test_an_example_that_cannot_be_answered_rejects_the_task(opened, tasks):
    """Also without an expectation."""
    problem = refusal(opened(), replace(tasks[0], examples=(Example({"question": "who"}),)))
    assert problem.code == "example_failed"
    assert "cannot be answered" in problem.message


def test_vectors_are_compared_number_by_number(opened):
    """An embedding task's example may state its vector."""
    engine = opened()
    vector = answer(engine, engine.prepare(TaskSpec("embed")))
    moved = [vector[0] + 0.1, *vector[1:]]
    assert engine.prepare(TaskSpec("embed", examples=(Example(TEXT, vector),)))
    refused = refusal(engine, TaskSpec("embed", examples=(Example(TEXT, moved),)))
    assert refused.code == "example_failed"


def test_a_pinned_task_stays_on_device_and_host(opened, tasks):
    """Others take turns in the room that is left, and never push it out."""
    host_bytes = 2 * (ADAPTER_BYTES + HEAD_BYTES)
    engine = opened(max_slots=2, host_bytes=host_bytes, device_bytes=4 * ADAPTER_BYTES)
    pinned = engine.prepare(replace(tasks[0], pinned=True))
    others = [engine.prepare(spec) for spec in tasks[1:]]
    for version in (*others, *others):
        engine.load(version)
        assert answer(engine, version)
        assert engine.residency(pinned) is Residency.DEVICE
        assert engine.library.is_loaded(pinned.composition.ref)
        assert engine.library.is_loaded(pinned.head.digest)
    engine.slots.check_integrity()
    engine.library.store.check_integrity()


@pytest.mark.parametrize("limits", ({"max_slots": 2}, {"host_bytes": 5 * ADAPTER_BYTES // 2}))
@pytest.mark.parametrize("is_pinned_first", (True, False))
def test_pins_leave_room_for_the_widest_composition(opened, tasks, limits, is_pinned_first):
    """In either order the second is refused, and the first still answers."""
    engine = opened(**limits)
    first, second = replace(tasks[0], pinned=True), stacked(tasks[1:])
    if not is_pinned_first:
        first, second = second, first
    version = engine.prepare(first)
    assert refusal(engine, second).code == "no_room_beside_pins"
    engine.load(version)
    assert answer(engine, version)


def test_lanes_share_what_pinned_tasks_leave(opened, tasks):
    """Batches side by side find room for what they may hold, and for the widest composition."""
    engine = opened(max_slots=5)
    assert (engine.info.num_lanes, engine.info.max_batch_adapters) == (2, 2)
    engine.prepare(replace(tasks[0], pinned=True))
    engine.prepare(stacked(tasks))
    assert (engine.info.num_lanes, engine.info.max_batch_adapters) == (1, 4)


def test_what_never_fits_is_refused(opened, tasks):
    """A Stack wider than the slots; weights larger than their half of the device."""
    assert refusal(opened(max_slots=2), stacked(tasks)).code == "too_wide"
    large = refusal(opened(device_bytes=2 * ADAPTER_BYTES - 2), tasks[0])
    assert large.code == "too_large"
    assert "device_bytes" in large.message
    assert opened(max_slots=3, device_bytes=6 * ADAPTER_BYTES).prepare(stacked(tasks))
