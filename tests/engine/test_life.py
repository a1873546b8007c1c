import shutil
from dataclasses import replace

import pytest

from adapter_runtime import (
    CapacityError,
    Example,
    Kind,
    Leaf,
    Limits,
    RejectedAdapter,
    Residency,
    SourceError,
    Stack,
    TaskSpec,
)
from tests.engine.living import check_integrity, folder, kept, rewrite
from tests.engine.workshop import TEXT, answer


def test_a_version_is_named_by_what_its_files_hold(opened, tasks, tmp_path):
    """Neither the task's name nor where the files lie; a meaning or a byte changed is another."""
    engine, spec = opened(), tasks[0]
    first = engine.read(spec)
    copy = shutil.copytree(folder(spec), tmp_path / "elsewhere")
    again = engine.read(replace(spec, name="other", adapter=Leaf(str(copy))))
    assert again.digest == first.digest
    assert again.id == first.id == first.digest[:12]
    changed = (
        replace(spec, kind=Kind.TEXT_CLASSIFICATION),
        replace(spec, labels=("a", "b")),
        replace(spec, limits=Limits(9)),
        replace(spec, options={"multi_label": True}),
        replace(spec, adapter=Stack((spec.adapter, tasks[1].adapter))),
        replace(spec, head=tasks[1].adapter.ref),
        tasks[1],
    )
    assert len({engine.read(each).digest for each in (spec, *changed)}) == 1 + len(changed)
    rewrite(spec, engine.backbone.facts, 9)
    assert engine.read(spec).digest != first.digest


def test_nothing_is_kept_of_what_came_and_went(opened, tasks):
    """Also of versions that were rejected, pinned, held, or evicted on the way."""
    engine = opened(max_slots=2)
    before = kept(engine)
    wrong = replace(tasks[0], examples=(Example(TEXT, {"label": "maybe"}),))
    for number in range(30):
        version = engine.prepare(replace(tasks[number % 3], pinned=number % 2 == 0))
        engine.hold(version)
        assert answer(engine, version)
        engine.release(version)
        engine.evict(version)
        engine.retire(version)
        with pytest.raises(RejectedAdapter):
            engine.prepare(wrong)
        with pytest.raises(RejectedAdapter):
            engine.read(replace(tasks[1], kind=Kind.QUESTION_ANSWERING))
        with pytest.raises(RejectedAdapter):
            engine.prepare(replace(tasks[2], adapter=Stack(tuple(t.adapter for t in tasks))))
    assert kept(engine) == before
    check_integrity(engine)


def test_an_inspection_keeps_nothing(opened, tasks):
    """Neither of what it accepts nor of what it refuses; what serves is not touched."""
    engine = opened()
    version = engine.prepare(tasks[0])
    assert engine.inspect(tasks[1]).accepted  # Tables that have grown for two stay so.
    before = kept(engine)
    assert engine.inspect(tasks[0]).accepted
    assert engine.inspect(tasks[1]).accepted
    assert not engine.inspect(replace(tasks[1], kind=Kind.QUESTION_ANSWERING)).accepted
    assert kept(engine) == before
    assert engine.residency(version) is Residency.DEVICE


def test_weights_stay_for_as_long_as_a_version_uses_them(opened, tasks, tmp_path):
    """Two tasks with the same files share them; the last one takes them along."""
    engine, spec = opened(), tasks[0]
    copy = shutil.copytree(folder(spec), tmp_path / "elsewhere")
    one, two = engine.read(spec), engine.read(replace(spec, name="two", adapter=Leaf(str(copy))))
    before = answer(engine, one)
    assert len(engine.slots) == 1
    engine.retire(one)
    shutil.rmtree(folder(spec))
    engine.evict(two)
    assert engine.residency(two) is Residency.ABSENT
    assert answer(engine, two) == before  # from its own folder
    engine.retire(two)
    assert (len(engine.library), len(engine.slots), engine.heads.num_bytes) == (0, 0, 0)


def test_a_version_read_twice_is_retired_twice(opened, tasks):
    """The first retirement leaves the other reading whole, its room and its pin included."""
    engine = opened(max_slots=5)
    versions = [engine.prepare(replace(tasks[0], pinned=True)) for _ in range(2)]
    engine.retire(versions[0])
    assert engine.residency(versions[1]) is Residency.DEVICE
    assert (engine.stats().pinned, engine.room.widest.slots) == (2, 1)
    engine.retire(versions[1])
    assert (engine.stats().pinned, engine.room.widest.slots) == (0, 0)


@pytest.mark.parametrize("act", ("admit", "pin"))
def test_a_retired_version_gets_nothing_any_more(opened, tasks, act):
    """Nobody would take it back, though another version has the same weights."""
    engine = opened()
    version, other = (engine.read(replace(tasks[0], name=name)) for name in "xy")
    engine.retire(version)
    before = kept(engine)
    with pytest.raises(SourceError, match="retired"):
        getattr(engine, act)(version)
    assert kept(engine)[:3] == before[:3]
    assert engine.room.widest.slots == engine.stats().pinned == engine.slots.num_used == 0
    engine.retire(other)
    check_integrity(engine)


def test_a_task_whose_files_move_is_read_from_where_they_are_now(opened, tasks, tmp_path):
    """Whichever of its two readings is retired, the other one's folder remains."""
    engine, spec = opened(), tasks[0]
    old = engine.prepare(spec)
    copy = shutil.copytree(folder(spec), tmp_path / "elsewhere")
    new = engine.prepare(replace(spec, adapter=Leaf(str(copy))))
    assert new.digest == old.digest
    engine.retire(old)
    shutil.rmtree(folder(spec))
    engine.evict(new)
    assert answer(engine, new)
    engine.retire(new)
    assert len(engine.library) == 0


def test_a_retired_version_leaves_the_device_with_its_last_hold(opened, tasks):
    """Somebody may still be reading its weights."""
    engine = opened()
    version = engine.prepare(tasks[0])
    engine.hold(version)
    engine.retire(version)
    assert engine.residency(version) is Residency.DEVICE
    engine.release(version)
    assert (len(engine.slots), engine.heads.num_bytes) == (0, 0)
    with pytest.raises(SourceError, match="retired"):
        engine.load(version)


def test_examples_run_by_whoever_is_given(opened, tasks):
    """The scheduler may run them at low priority."""
    engine, seen = opened(), []
    version = engine.read(replace(tasks[0], examples=(Example(TEXT),)))

    def run(items):
        seen.append(len(items))
        return engine.run(items).outcomes

    assert engine.check(version, run) == ()
    assert seen == [1, 1]  # the probe and the example


def test_what_could_not_be_tried_is_no_verdict(opened, tasks):
    """A lack of room says nothing of the version, and is raised as it is."""
    engine = opened()
    version = engine.read(tasks[0])
    with pytest.raises(CapacityError, match="busy"):
        engine.check(version, lambda items: [CapacityError("busy")] * len(items))


def test_a_version_too_wide_for_the_machine_is_refused_before_it_runs(opened, tasks):
    """That is no verdict on the version: another machine may have room."""
    engine = opened(max_slots=2)
    wide = TaskSpec("wide", adapter=Stack(tuple(spec.adapter for spec in tasks)))
    version = engine.read(wide)
    for ask in (engine.check, engine.admit, engine.pin):
        with pytest.raises(RejectedAdapter, match="too_wide"):
            ask(version)
    assert len(engine.slots) == 0


def test_verdicts_depend_on_the_backbone_and_how_it_runs(opened, tmp_path):
    """Equal for equal files; the identity is another when one of them changes."""
    one, two = opened(), opened()
    assert one.identity() == two.identity() == one.identity()
    (tmp_path / "backbone1" / "vocab.txt").write_text("[PAD]\n")
    assert opened().identity() == one.identity()
    two._identity = None
    two.backbone.__dict__.pop("digest")
    assert two.identity() != one.identity()
    assert opened(dtype="bfloat16").identity() != one.identity()


def test_on_a_cpu_the_device_has_no_copy_of_the_host_s_tensors(opened, tasks):
    """All but small vectors are counted once; evicted and loaded again it is the same."""
    engine = opened()
    version = engine.prepare(tasks[0])
    before = answer(engine, version)
    for _ in range(2):
        stats = engine.stats()
        assert 0.9 * stats.host_bytes < stats.shared_bytes <= stats.resident_bytes
        engine.evict(version)
        assert engine.stats().shared_bytes == 0
        engine.hold(version)
        engine.release(version)
        assert answer(engine, version) == before
