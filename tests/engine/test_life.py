import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapter_runtime import (
    CapacityError,
    Example,
    Kind,
    Leaf,
    Limits,
    Note,
    RejectedAdapter,
    Residency,
    SourceError,
    Stack,
    TaskSpec,
)
from tests.engine.workshop import TEXT, answer, write_task
from tests.residency.fakes import Gate, join, run_threads


def folder(spec):
    """Where a task's files lie."""
    return Path(spec.adapter.ref)


def kept(engine):
    """What the engine keeps of all versions: in the library, on host and device, promised."""
    store = engine.library.store
    return (
        len(engine.library),
        len(store),
        store.num_bytes,
        len(engine.slots),
        engine.slots.table_bytes,
        engine.heads.num_bytes,
        engine.room.widest,
        len(engine.runner.router._known),
    )


def check_integrity(engine):
    """All books are right."""
    engine.slots.check_integrity()
    engine.heads.check_integrity()
    engine.library.store.check_integrity()


def rewrite(spec, facts, seed):
    """Other weights in a task's folder."""
    write_task(folder(spec), facts, torch.Generator().manual_seed(seed))


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


def lose(spec, facts):
    """The weights are gone."""
    (folder(spec) / "pytorch_adapter.bin").unlink()


def cut(spec, facts):
    """The weights end early."""
    path = folder(spec) / "pytorch_adapter.bin"
    path.write_bytes(path.read_bytes()[:-100])


def replace_weights(spec, facts):
    """Other weights of the same shapes."""
    rewrite(spec, facts, 9)


def other_config(spec, facts):
    """The weights mean something else."""
    path = folder(spec) / "adapter_config.json"
    path.write_text(path.read_text().replace('"alpha": 8', '"alpha": 80'))


@pytest.mark.parametrize("damage", (lose, cut, replace_weights, other_config))
def test_files_that_changed_after_admission_never_answer(opened, tasks, tmp_path, damage):
    """The version says so until they are as they were; other versions are not concerned."""
    engine, spec = opened(), tasks[0]
    version, neighbour = engine.prepare(spec), engine.prepare(tasks[1])
    before, now = answer(engine, version), [0.0]
    engine.library.store._clock = lambda: now[0]
    kept_files = shutil.copytree(folder(spec), tmp_path / "kept")
    engine.evict(version)
    damage(spec, engine.backbone.facts)
    for _ in range(2):
        with pytest.raises(RejectedAdapter) as refused:
            answer(engine, version)
        assert refused.value.problems[0].code == "source_changed"
        assert engine.residency(version) is Residency.FAILED
    assert answer(engine, neighbour)
    shutil.copytree(kept_files, folder(spec), dirs_exist_ok=True)
    now[0] = 11.0
    assert answer(engine, version) == before


def test_files_that_are_gone_are_a_fault_of_their_source(opened, tasks):
    """What is on the device still answers."""
    engine = opened()
    version = engine.prepare(tasks[0])
    before = answer(engine, version)
    shutil.rmtree(folder(tasks[0]))
    assert answer(engine, version) == before
    engine.evict(version)
    with pytest.raises(SourceError, match="no such folder"):
        engine.hold(version)


class Meddling:
    """Opens folders, and changes their files when their content is read."""

    def __init__(self, engine, change, times):
        self.engine, self.change, self.times = engine, change, times
        self.open_folder = engine.library.open_folder

    def __call__(self, source):
        folder = self.open_folder(source)
        read_bytes = folder.read_bytes

        def meddle(name, *args):
            content = read_bytes(name, *args)
            if self.times:
                self.times -= 1
                self.change(self.times)
            return content

        folder.read_bytes = meddle
        return folder


def test_files_that_change_while_they_are_read_are_read_once_more(opened, tasks):
    """What is served is what lies there in the end, never half of each."""
    engine = opened()
    facts = engine.backbone.facts
    engine.library.open_folder = Meddling(engine, lambda _: rewrite(tasks[0], facts, 7), 1)
    found = engine.read(tasks[0])
    engine.library.open_folder = engine.library.open_folder.open_folder
    assert engine.read(tasks[0]).digest == found.digest
    engine.evict(found)
    assert answer(engine, found)


def test_files_that_never_hold_still_are_refused_with_the_remedy(opened, tasks):
    """Nothing is kept of them."""
    engine = opened()
    facts, before = engine.backbone.facts, kept(engine)
    engine.library.open_folder = Meddling(
        engine, lambda number: rewrite(tasks[0], facts, number), 1000
    )
    with pytest.raises(
        SourceError, match=r"change while they are read; .* move the finished folder"
    ):
        engine.read(tasks[0])
    assert kept(engine) == before


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


def test_a_version_too_wide_for_the_machine_fails_its_check(opened, tasks):
    """Before any row of it is run."""
    engine = opened(max_slots=2)
    wide = TaskSpec("wide", adapter=Stack(tuple(spec.adapter for spec in tasks)))
    version = engine.read(wide)
    (problem,) = engine.check(version)
    assert problem.code == "too_wide"
    with pytest.raises(RejectedAdapter, match="too_wide"):
        engine.admit(version)
    assert isinstance(problem, Note)


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


def test_an_engine_out_of_memory_goes_on(opened, tasks, monkeypatch):
    """The version says so; others answer, and it does itself once there is memory again."""
    engine, now = opened(), [0.0]
    engine.library.store._clock = lambda: now[0]
    version, neighbour = (engine.prepare(spec) for spec in tasks[:2])
    before = answer(engine, version)
    engine.evict(version)
    open_folder = engine.library.open_folder

    def full(source):
        raise MemoryError

    engine.library.open_folder = full
    with pytest.raises(CapacityError, match="memory"):
        answer(engine, version)
    assert engine.residency(version) is Residency.FAILED
    assert answer(engine, neighbour)
    engine.library.open_folder, now[0] = open_folder, 11.0
    assert answer(engine, version) == before
    check_integrity(engine)


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
