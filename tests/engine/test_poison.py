from dataclasses import replace
from itertools import chain, zip_longest

import numpy as np
import pytest

from adapter_runtime import RowFailed, VersionFailed
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Leaf
from tests.engine.workshop import Workshop

TOLERANCE = 1e-5  # fp32
HUGE = 1e30  # finite, and its square is not


@pytest.fixture(scope="module", params=["bert", "mpnet"])
def workshop(request, tmp_path_factory):
    """A packed and a padded backbone."""
    made = Workshop(request.param, tmp_path_factory.mktemp("backbone"))
    yield made
    made.engine.close()


def overflowing(workshop):
    """Every kind of adapter, with weights so large that its rows overflow."""
    found = []
    for adapter in workshop.adapters().values():
        for part in adapter.parts:
            for tensor in part.tensors.values():
                tensor.fill_(HUGE)
        found.append(adapter)
    return found


def interleaved(*lanes):
    """One item of each lane after another."""
    return [item for item in chain(*zip_longest(*lanes)) if item is not None]


def batch(workshop):
    """Sound rows of all kinds between rows of every poisonous adapter; the sound tasks' names."""
    head = workshop.heads()[1]
    sound = [
        workshop.version(f"sound-{name}", adapter, each)
        for each in workshop.heads()
        for name, adapter in {"none": None, **workshop.adapters()}.items()
    ]
    lanes = [workshop.items(version, raw=True) for version in sound]
    names = {version.task for version in sound}
    for adapter in overflowing(workshop):
        version = workshop.version(f"bad-{adapter.name}", _renamed(adapter), head)
        lanes.insert(len(lanes) // 2, workshop.items(version))
    return interleaved(*lanes), names


def _renamed(adapter):
    """The same Parts under a digest of their own."""
    return replace(adapter, digest=f"bad-{adapter.digest}")


def test_neighbours_of_adapters_that_overflow_are_answered_as_alone(workshop):
    """Whatever is not finite stays in the rows that it comes from."""
    items, sound = batch(workshop)
    outcomes = workshop.engine.run(items).outcomes
    for item, outcome in zip(items, outcomes, strict=True):
        if item.version.task not in sound:
            continue
        assert not isinstance(outcome, Exception), (item.version.task, outcome)
        (alone,) = workshop.engine.run([item]).outcomes
        for name, values in alone.items():
            assert np.abs(values - outcome[name]).max() <= TOLERANCE, (item.version.task, name)
    blamed = {
        item.version.task
        for item, outcome in zip(items, outcomes, strict=True)
        if isinstance(outcome, VersionFailed)
    }
    assert blamed
    assert not blamed & sound
    workshop.engine.slots.check_integrity()


def raising(workshop, monkeypatch, digests):
    """Make the work of some adapters raise in the middle of the forward."""
    runner = workshop.engine.runner
    router = runner.router.route

    def route(compositions, spans):
        work = router(compositions, spans)
        if any(composition in map(Leaf, digests) for composition in compositions):
            point = max(work)

            def explode(*_):
                raise ZeroDivisionError("no such kernel")

            work = {**work, point: explode}
        return work

    monkeypatch.setattr(runner.router, "route", route)


def test_neighbours_of_methods_that_raise_are_answered_as_alone(workshop, monkeypatch):
    """Two guilty adapters in one batch; tables and books are whole afterwards."""
    adapters, head = workshop.adapters(), workshop.heads()[1]
    versions = {name: workshop.version(name, adapter, head) for name, adapter in adapters.items()}
    items = interleaved(*(workshop.items(version) for version in versions.values()))
    alone = [workshop.engine.run([item]).outcomes[0] for item in items]
    raising(workshop, monkeypatch, ("lora", "pfeiffer"))
    outcomes = workshop.engine.run(items).outcomes
    monkeypatch.undo()
    for item, before, outcome in zip(items, alone, outcomes, strict=True):
        if item.version.task in ("lora", "pfeiffer"):
            assert isinstance(outcome, VersionFailed)
            assert "no such kernel" in str(outcome)
        else:
            assert np.abs(before["logits"] - outcome["logits"]).max() <= TOLERANCE
    workshop.engine.slots.check_integrity()
    workshop.engine.heads.check_integrity()
    assert workshop.engine.slots.num_used == 0
    again = workshop.engine.run(items).outcomes
    assert all(
        np.abs(before["logits"] - outcome["logits"]).max() <= TOLERANCE
        for before, outcome in zip(alone, again, strict=True)
    )


def test_a_head_that_raises_fails_its_own_version_only(workshop, monkeypatch):
    """Heads of one kind run together; the guilty one is found."""
    kind = HEADS["classification"]
    forward = type(kind).forward

    def fail(self, spec, weights, states, raw):
        if spec.digest == bad.spec.digest:
            raise IndexError("no such label")
        return forward(self, spec, weights, states, raw)

    monkeypatch.setattr(type(kind), "forward", fail)
    bad, good = workshop.heads()[1], workshop.heads()[2]
    items = interleaved(
        workshop.items(workshop.version("bad", None, bad)),
        workshop.items(workshop.version("good", None, good)),
    )
    outcomes = workshop.engine.run(items).outcomes
    for item, outcome in zip(items, outcomes, strict=True):
        assert isinstance(outcome, VersionFailed) == (item.version.task == "bad")


def test_a_rows_own_fault_is_not_its_versions(workshop, monkeypatch):
    """A head that asks a row for what it has not says RowFailed, and nothing worse."""
    kind = HEADS["classification"]
    forward = type(kind).forward

    def fail(self, spec, weights, states, raw):
        if any(raw):
            raise RowFailed("The row holds no end-of-text token.")
        return forward(self, spec, weights, states, raw)

    monkeypatch.setattr(type(kind), "forward", fail)
    version = workshop.version("task", None, workshop.heads()[1])
    items = [workshop.items(version, raw=is_raw)[0] for is_raw in (True, False)]
    failed, answered = workshop.engine.run(items).outcomes
    assert type(failed) is RowFailed
    assert isinstance(answered, dict)


def test_an_answer_that_cannot_be_decoded_is_its_versions_fault(workshop, monkeypatch):
    """Surprises in decoding carry the task's name and the code of a failed row."""
    version = workshop.version("task", None, workshop.heads()[1])
    encoded = workshop.engine.encode(version, "the cat sat", {})
    with pytest.raises(VersionFailed, match="task cannot be computed") as failed:
        workshop.engine.decode(version, encoded, [{"logits": None}])
    assert failed.value.code == "version_failed"
