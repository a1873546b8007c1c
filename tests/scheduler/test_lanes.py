"""Batches side by side follow what the engine says now; what is queued is answered at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from adapter_runtime import RowFailed
from tests.scheduler.rig import Rig, ScriptedEngine, entry, eventually


def set_lanes(engine: ScriptedEngine, number: int) -> None:
    """From now on."""
    engine.info = replace(engine.info, num_lanes=number)


def test_lanes_grow_and_shrink_while_running(
    make_rig: Callable[..., Rig], engine: ScriptedEngine
) -> None:
    """Never more batches at once than the engine takes."""
    rig = make_rig(max_rows=1)
    set_lanes(engine, 3)
    rig.occupy(gate := threading.Event(), "a", "b", "c")
    set_lanes(engine, 1)
    rest = [entry("d", 3) for _ in range(5)]
    rig.submit(*rest)
    gate.set()
    rig.wait()
    assert engine.most_running == 3
    engine.most_running, engine.run_s = 0, 0.001
    for _ in range(20):
        rig.submit(*(entry(task, 3) for task in "abcd"))
    rig.wait()
    assert engine.most_running == 1


def test_backlog_is_shared_by_the_lanes_of_now(rig: Rig, engine: ScriptedEngine) -> None:
    """What waits takes longer with fewer of them, and low rows count."""
    engine.run_s = 0.01
    rig.submit(entry("a", 100))
    rig.wait()
    engine.run_s = 0.0
    rig.occupy(threading.Event())
    rig.submit(entry("a", 100, is_low=True))
    one = rig.loop.backlog_s()
    assert one > 0
    set_lanes(engine, 2)
    assert rig.loop.backlog_s() == one / 2


def test_stop_answers_what_is_queued(make_rig: Callable[..., Rig], engine: ScriptedEngine) -> None:
    """Cold rows too; what comes later is refused with an error."""
    rig = make_rig()
    rig.occupy(gate := threading.Event())
    engine.cold, engine.load_gates = {"cold"}, {"cold": threading.Event()}
    queued = [entry("cold", 3), entry("warm", 3)]
    rig.submit(*queued)
    stopper = threading.Thread(target=rig.loop.stop)
    stopper.start()
    eventually(lambda: rig.loop._is_stopping)
    late = entry("late", 3)
    rig.submit(late)
    gate.set()
    engine.load_gates["cold"].set()
    stopper.join()
    assert [each.error for each in queued] == [None, None]
    assert isinstance(late.error, RowFailed)


def test_loop_that_never_started_fails_what_it_has(engine: ScriptedEngine) -> None:
    """Nothing is lost without lanes."""
    rig = Rig(engine)
    rig.submit(entry("a", 3))
    rig.close()
    assert isinstance(rig.finished[0].error, RowFailed)
