from dataclasses import replace

import pytest

from adapter_runtime import (
    CapacityError,
    RejectedAdapter,
    Residency,
    Stack,
    TaskSpec,
)
from tests.engine.living import check_integrity
from tests.engine.workshop import answer
from tests.residency.fakes import Gate, join, run_threads


def test_held_weights_stay_until_every_hold_is_given_back(opened, tasks):
    """Others find no room meanwhile, and are told so; then they do."""
    engine = opened(max_slots=1)
    first, second = (engine.prepare(spec) for spec in tasks[:2])
    engine.hold(first)
    engine.hold(first)
    for _ in range(2):
        with pytest.raises(CapacityError):
            engine.hold(second)
        engine.evict(first)
        assert engine.residency(first) is Residency.DEVICE
        engine.release(first)
    engine.hold(second)
    assert engine.residency(first) is Residency.HOST
    check_integrity(engine)


def test_evicted_weights_come_back_from_their_files(opened, tasks):
    """Host and device are empty after it; the answer is the same."""
    engine = opened()
    version = engine.prepare(tasks[0])
    before = answer(engine, version)
    engine.evict(version)
    assert engine.residency(version) is Residency.ABSENT
    assert (len(engine.slots), len(engine.library.store)) == (0, 0)
    engine.load(version)
    assert engine.residency(version) is Residency.HOST
    assert answer(engine, version) == before


def test_pinned_weights_are_not_evicted_until_unpinned(opened, tasks):
    """Nor those that another version shares with a pinned one."""
    engine = opened()
    pinned = engine.prepare(replace(tasks[0], pinned=True))
    other = engine.prepare(replace(tasks[0], name="other", labels=("x", "y")))
    for version in (pinned, other):
        engine.evict(version)
        assert pinned.composition.ref in engine.slots
        assert engine.library.is_loaded(pinned.composition.ref)
    engine.unpin(pinned)
    engine.unpin(pinned)
    engine.evict(pinned)
    assert engine.residency(pinned) is Residency.ABSENT


def test_a_pin_that_comes_later_must_leave_room_too(opened, tasks):
    """It is refused as at admission, nothing changes, and it fits when others have gone."""
    engine = opened(max_slots=2)
    one, two = (engine.prepare(spec) for spec in tasks[:2])
    engine.pin(one)
    engine.pin(one)
    with pytest.raises(RejectedAdapter, match="no_room_beside_pins"):
        engine.pin(two)
    assert engine.stats().pinned == 2  # an adapter and a head
    engine.unpin(one)
    engine.pin(two)
    engine.hold(one)
    check_integrity(engine)


def test_lanes_follow_the_versions_of_now(opened, tasks):
    """What a wide or a pinned version took comes back with its retirement."""
    engine = opened(max_slots=5)
    begun = engine.info
    wide = engine.prepare(TaskSpec("wide", adapter=Stack(tuple(spec.adapter for spec in tasks))))
    assert (engine.info.num_lanes, engine.info.max_batch_adapters) == (1, 5)
    engine.admit(wide)
    engine.retire(wide)
    assert engine.info == begun
    version = engine.prepare(replace(tasks[0], pinned=True))
    assert engine.info.max_batch_adapters == 2
    engine.unpin(version)
    engine.retire(version)
    assert engine.info == begun


def test_versions_are_held_beside_one_another(opened, tasks):
    """One whose files are slow delays no other one."""
    engine, gate = opened(), Gate()
    slow, quick = (engine.prepare(spec) for spec in tasks[:2])
    engine.evict(slow)
    engine.evict(quick)
    open_folder = engine.library.open_folder

    def wait(source):
        if source == slow.spec.adapter.ref:
            gate()
        return open_folder(source)

    engine.library.open_folder = wait
    threads = run_threads(2, lambda: engine.hold(slow))
    assert gate.come.wait(30)
    assert engine.residency(slow) is Residency.LOADING
    engine.hold(quick)
    assert answer(engine, quick)
    gate.go.set()
    join(threads)
    assert engine.residency(slow) is Residency.DEVICE
    check_integrity(engine)
