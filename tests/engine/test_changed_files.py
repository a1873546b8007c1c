import shutil

import pytest

from adapter_runtime import (
    CapacityError,
    OutOfMemory,
    RejectedAdapter,
    Residency,
    SourceError,
)
from tests.engine.living import check_integrity, folder, kept, rewrite
from tests.engine.workshop import answer


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


@pytest.mark.parametrize("times", (1, 5))
def test_a_first_reading_without_memory_takes_that_of_others(opened, tasks, times):
    """Weights that nobody holds make room; where that is too little, the error says what to do."""
    engine, left = opened(), [times]
    neighbour = engine.prepare(tasks[1])
    before, open_folder = answer(engine, neighbour), engine.library.open_folder
    begun = len(engine.library)

    def full(source):
        left[0] -= 1
        if left[0] >= 0:
            raise MemoryError
        return open_folder(source)

    engine.library.open_folder = full
    if times == 1:
        assert answer(engine, engine.prepare(tasks[0]))
    else:
        with pytest.raises(OutOfMemory, match="lower host_bytes"):
            engine.read(tasks[0])
        assert len(engine.library) == begun
    assert engine.library.store.num_evicted
    engine.library.open_folder = open_folder
    assert answer(engine, neighbour) == before
    check_integrity(engine)
