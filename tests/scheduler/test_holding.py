"""Cold versions come in beside the lanes, are held until their rows have run, and wait for room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from adapter_runtime import CapacityError, OutOfMemory, Residency, SourceError
from serving.errors import DeadlineExceeded
from tests.scheduler.rig import Rig, ScriptedEngine, entry, eventually, version


def test_cold_version_is_held_until_its_rows_have_run(rig: Rig, engine: ScriptedEngine) -> None:
    """The weights cannot leave between load and batch; afterwards nothing is held."""
    engine.cold, engine.gate = {"a"}, threading.Event()
    rig.submit(entry("a", 3))
    eventually(lambda: engine.batches)
    assert engine.holds["d-a"] == 1
    engine.gate.set()
    rig.wait()
    eventually(lambda: not +engine.holds)
    assert [(load.version.task, load.came_from, load.error) for load in rig.loaded] == [
        ("a", Residency.ABSENT, None)
    ]


def test_hold_ends_with_the_first_batch(make_rig: Callable[..., Rig]) -> None:
    """A long input does not keep the place of others for all its rows."""
    rig = make_rig(max_rows=1)
    rig.engine.cold = {"a"}
    rig.submit(entry("a", 3, 3, 3))
    rig.wait()
    assert rig.engine.held_in_batches == [1, 0, 0]


def test_busy_lanes_do_not_starve_a_load(make_rig: Callable[..., Rig]) -> None:
    """Though each batch takes the only place as soon as the one before leaves it."""
    rig = make_rig(max_rows=1)
    rig.engine.max_resident = 1
    rig.occupy(gate := threading.Event(), "warm")
    late = entry("late", 3)
    rig.submit(late, *(entry("warm", 3) for _ in range(200)))
    gate.set()
    rig.wait()
    assert rig.finished.index(late) < 100


def test_version_in_host_memory_is_uploaded_by_a_loader(rig: Rig, engine: ScriptedEngine) -> None:
    """A batch takes only what is on the device."""
    engine.max_resident = 4
    rig.submit(entry("a", 3))
    rig.wait()
    assert engine.calls == [("hold", "a")]
    assert rig.loaded[0].came_from is Residency.HOST


def test_loads_do_not_delay_warm_tasks(rig: Rig, engine: ScriptedEngine) -> None:
    """While every loader is stuck, warm rows are answered."""
    engine.cold = {f"cold-{number}" for number in range(6)}
    engine.load_gates = {task: threading.Event() for task in engine.cold}
    cold = [entry(task, 3) for task in sorted(engine.cold)]
    rig.submit(*cold)
    eventually(lambda: len(engine.loading) == 4)
    warm = [entry("warm", 3) for _ in range(20)]
    rig.submit(*warm)
    rig.wait(*warm)
    assert not any(each.is_finished for each in cold)


def test_loads_go_on_while_every_lane_is_busy(rig: Rig, engine: ScriptedEngine) -> None:
    """A version that comes while a batch runs is in before the batch ends, and so is the next."""
    rig.occupy(gate := threading.Event())
    engine.cold = {f"cold-{number}" for number in range(6)}
    rig.submit(*(entry(task, 3) for task in sorted(engine.cold)))
    eventually(lambda: not engine.cold)
    assert engine.most_loading <= 4
    gate.set()
    rig.wait()


def test_longest_waiter_is_loaded_first(make_rig: Callable[..., Rig]) -> None:
    """Whatever order the tasks have among the lanes."""
    rig = make_rig(load_threads=1)
    engine = rig.engine
    engine.cold = set("abcd")
    engine.load_gates = {"a": threading.Event()}
    rig.submit(entry("a", 3))
    eventually(lambda: engine.loading)
    late, early = entry("b", 3), entry("c", 3)
    late.queued_s += 5
    rig.submit(late, early)
    engine.load_gates["a"].set()
    rig.wait()
    assert [task for what, task in engine.calls if what == "hold"] == ["a", "c", "b"]


def test_failed_load_fails_its_rows_only(rig: Rig, engine: ScriptedEngine) -> None:
    """With the loader's error, which the listener hears too."""
    engine.cold, engine.load_fails = {"a"}, True
    bad, good = entry("a", 3, 3), entry("b", 3)
    rig.submit(bad, good)
    rig.wait()
    assert isinstance(bad.error, SourceError)
    assert good.error is None
    assert [load.error for load in rig.loaded] == [bad.error]


def test_tasks_with_equal_files_load_each_from_its_own_source(
    rig: Rig, engine: ScriptedEngine
) -> None:
    """One whose files are gone takes the other along neither into the queue nor out of it."""
    engine.cold, engine.load_gates = {"gone", "twin"}, {"twin": threading.Event()}
    gone, twin = entry("gone", 3), entry("twin", 3)
    gone.version, twin.version = version("gone", "same"), version("twin", "same")
    rig.submit(twin)
    eventually(lambda: engine.loading)
    engine.load_fails = True
    rig.submit(gone)
    rig.wait(gone)
    engine.load_fails = False
    engine.load_gates["twin"].set()
    rig.wait()
    assert isinstance(gone.error, SourceError)
    assert twin.error is None


def test_rows_wait_while_there_is_no_room(rig: Rig, engine: ScriptedEngine) -> None:
    """A refusal is no failure; after the batch that had the room ends, the rows run."""
    engine.max_resident = 1
    rig.occupy(gate := threading.Event())
    waiting = entry("b", 3)
    rig.submit(waiting)
    eventually(lambda: ("hold", "b") in engine.calls and not engine.loading)
    num_tries = engine.calls.count(("hold", "b"))
    gate.set()
    rig.wait()
    assert waiting.error is None
    assert num_tries == 1  # nothing is tried while no batch has ended
    assert [load.error for load in rig.loaded] == [None, None]


def test_no_room_until_the_deadline_is_late(rig: Rig, engine: ScriptedEngine) -> None:
    """With the room in others' hands for good, the row gets an answer all the same."""
    engine.max_resident = 1
    engine.hold(version("pinned"))
    late = entry("b", 3, within_s=0.2)
    rig.submit(late)
    rig.wait()
    assert isinstance(late.error, DeadlineExceeded)
    engine.release(version("pinned"))


def test_room_that_comes_without_a_batch_is_found(rig: Rig, engine: ScriptedEngine) -> None:
    """Whoever had it does not say when it is free."""
    engine.max_resident = 1
    engine.hold(version("pinned"))
    rig.submit(entry("b", 3))
    eventually(lambda: ("hold", "b") in engine.calls)
    engine.release(version("pinned"))
    rig.wait()
    assert rig.finished[0].error is None


def test_far_more_tasks_than_places(make_rig: Callable[..., Rig]) -> None:
    """Everybody is answered, in spite of 80 waiting tasks on 3 places and two lanes."""
    rig = make_rig()
    engine = rig.engine
    engine.max_resident = 3
    engine.info = replace(engine.info, max_batch_adapters=2, num_lanes=2)
    rig.submit(*(entry(f"t{number % 80}", 3, 5) for number in range(400)))
    rig.wait()
    assert [each.error for each in rig.submitted if each.error] == []


def test_cancelled_rows_do_not_keep_a_hold(rig: Rig, engine: ScriptedEngine) -> None:
    """A version that came for nobody is let go at once."""
    engine.cold, engine.load_gates = {"a"}, {"a": threading.Event()}
    gone = entry("a", 3)
    rig.submit(gone)
    eventually(lambda: engine.loading)
    gone.is_cancelled = True
    rig.wait()
    engine.load_gates["a"].set()
    eventually(lambda: rig.loaded and not +engine.holds)
    assert engine.batches == []


def test_warming_up_holds_nothing(rig: Rig, engine: ScriptedEngine) -> None:
    """The version is on the device and may leave again."""
    engine.cold = {"a"}
    rig.loop.warm_up(version("a"))
    rig.loop.warm_up(version("a"))
    eventually(lambda: rig.loaded and not +engine.holds)
    assert engine.calls == [("hold", "a")]


def test_rows_that_found_no_room_run_again(rig: Rig, engine: ScriptedEngine) -> None:
    """Each row is answered once; the second time its version is held."""
    engine.no_room = {"tight": 3}
    tight, mate = entry("tight", 3, 4, 5), entry("mate", 3)
    rig.submit(tight, mate)
    rig.wait()
    assert [answer["count"] for answer in tight.answers()] == [3, 4, 5]
    assert ("hold", "tight") in engine.calls


def test_rows_that_never_find_room_fail_in_the_end(rig: Rig, engine: ScriptedEngine) -> None:
    """Nobody is guilty, and the loop does not turn for ever."""
    engine.no_room = {"tight": 10_000}
    tight = entry("tight", 3, 4)
    rig.submit(tight)
    rig.wait()
    assert isinstance(tight.error, CapacityError)
    assert rig.guilty == []
    assert len(engine.batches) < 100


def test_weights_that_find_no_memory_are_given_up(rig: Rig, engine: ScriptedEngine) -> None:
    """Who waits for them is told soon, for every try costs the others their places."""
    engine.cold = engine.no_memory = {"large"}
    large, mate = entry("large", 3), entry("mate", 3)
    rig.submit(large, mate)
    rig.wait()
    assert isinstance(large.error, OutOfMemory)
    assert mate.error is None
    assert 1 < engine.calls.count(("hold", "large")) < 10


def test_batch_that_finds_no_room_as_a_whole_runs_again(rig: Rig, engine: ScriptedEngine) -> None:
    """Its rows wait and are loaded like others."""
    engine.poison = {"a": CapacityError("no room")}
    rig.submit(entry("a", 3), entry("b", 3))
    eventually(lambda: ("hold", "b") in engine.calls)
    engine.poison = {}
    rig.wait()
    assert [each.error for each in rig.finished] == [None, None]
