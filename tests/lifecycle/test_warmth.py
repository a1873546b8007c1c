"""What was used lately comes in again after a restart, hottest first and beside the requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import EngineStats, Leaf, TaskSpec, TaskVersion
from serving.catalog.plans import TaskFile, TaskPlan, VersionPlan
from serving.lifecycle.live.states import State
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.lifecycle.remembering.heat import Heat
from serving.lifecycle.remembering.remembered import Remembered
from serving.lifecycle.remembering.warmth import WarmSet, Warmth
from tests.serving.fake_engine import FakeEngine

NAMES = ("a", "b", "c", "d")


class Admitting:
    """Makes every version ready at once, or never when its task is stuck."""

    def __init__(self, engine: FakeEngine, stuck: str = "") -> None:
        self.engine = engine
        self.stuck = stuck
        self.started: list[str] = []

    def start(self, version: Version) -> Future[None]:
        """Ready, unless stuck."""
        self.started.append(version.task)
        future: Future[None] = Future()
        if version.task != self.stuck:
            version.prepared = self.engine.prepare(version.plan.spec)
            version.state = State.READY
            future.set_result(None)
        return future

    def adopt(self, version: Version, prepared: TaskVersion) -> None:
        """Nothing is adopted here."""

    def estimate_s(self, version: Version) -> float:
        """No time."""
        return 0.0


def plan(name: str, pinned: bool = False, place: str = "/a") -> TaskPlan:
    """A task of one version."""
    spec = TaskSpec(name, adapter=Leaf(f"{place}/{name}"), pinned=pinned)
    return TaskPlan(name, (VersionPlan(spec, f"key-{name}", id="1"),))


def live(pinned: Sequence[str] = (), names: Sequence[str] = NAMES) -> Tasks:
    """The tasks of a process that has just started."""
    tasks = Tasks()
    tasks.apply(TaskFile(None, tuple(plan(name, name in pinned) for name in names)))
    return tasks


def warm_set(tasks: Tasks, folder: Path, most: int = 3, place: str = "here") -> WarmSet:
    """A set over a folder."""
    return WarmSet(tasks, Remembered(folder), place, most)


def use(tasks: Tasks, **counts: int) -> None:
    """Answer requests."""
    for name, count in counts.items():
        for _ in range(count):
            tasks.find(name).versions[0].traffic.answered(0.01)


def remember(folder: Path, **counts: int) -> None:
    """A process that served and stopped."""
    tasks = live()
    warm = warm_set(tasks, folder)
    use(tasks, **counts)
    warm.look(0.0)
    warm.save(0.0)


def until(is_true: Callable[[], Any]) -> None:
    """Wait for other threads."""
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def bring_in(tasks: Tasks, folder: Path, engine: FakeEngine, stuck: str = "") -> list[str]:
    """What a start admits, in order."""
    admitting = Admitting(engine, stuck)
    warmth = Warmth(tasks, engine, admitting, warm_set(tasks, folder))
    warmth.start()
    until(lambda: not warmth.threads[0].is_alive() or stuck in admitting.started)
    warmth.stop()
    return admitting.started


def test_counts_halve() -> None:
    """What was used much long ago is colder than what is used a little now."""
    heat: Heat[str] = Heat(half_life_s=10.0, most=10)
    heat.add("old", 8, 0.0)
    heat.add("new", 3, 20.0)
    assert heat.of("old", 20.0) == pytest.approx(2)
    assert list(heat.hottest(2, 20.0)) == ["new", "old"]
    assert heat.of("old", 1e9) == 0


def test_the_coldest_are_forgotten() -> None:
    """However many keys come, memory is bounded."""
    heat: Heat[int] = Heat(half_life_s=10.0, most=5)
    for number in range(100):
        heat.add(number, number, 0.0)
    assert len(heat.hottest(1000, 0.0)) <= 10
    assert list(heat.hottest(2, 0.0)) == [99, 98]


def test_the_warm_set_comes_in_hottest_first(tmp_path: Path) -> None:
    """Bounded, and on the device when it is done."""
    remember(tmp_path, a=1, b=5, c=9, d=3)
    engine = FakeEngine(cold=set(NAMES))
    assert bring_in(live(), tmp_path, engine) == ["c", "b", "d"]
    assert engine.cold == {"a"}
    assert not any(engine.holds.values())


def test_pinned_ones_come_first_and_once(tmp_path: Path) -> None:
    """Also where nothing is remembered."""
    remember(tmp_path, b=5, c=9)
    assert bring_in(live(pinned=("a", "b")), tmp_path, FakeEngine()) == ["a", "b", "c"]
    assert bring_in(live(pinned=("d",)), tmp_path / "new", FakeEngine()) == ["d"]


def test_what_lies_here_comes_in_before_what_a_hub_may_keep(tmp_path: Path) -> None:
    """One that hangs would keep all others from the device."""
    remember(tmp_path, b=2, a=1)
    tasks = live()
    tasks.apply_one("far", plan("far", pinned=True, place="hf://org"))
    assert bring_in(tasks, tmp_path, FakeEngine(), stuck="far") == ["b", "a", "far"]


def test_the_set_survives_a_short_life(tmp_path: Path) -> None:
    """A restart right after a restart, before any request, finds it as it was."""
    remember(tmp_path, b=5, c=9)
    bring_in(live(), tmp_path, FakeEngine())
    assert bring_in(live(), tmp_path, FakeEngine()) == ["c", "b"]


def test_what_is_gone_or_changed_is_left_out(tmp_path: Path) -> None:
    """A task that was deleted, and a catalog of another place."""
    remember(tmp_path, b=5, c=9)
    assert bring_in(live(names=("b",)), tmp_path, FakeEngine()) == ["b"]
    tasks = live()
    assert warm_set(tasks, tmp_path, place="elsewhere").restore(0.0) == []


@pytest.mark.parametrize("value", (7, [1], [["a"]], [["a", "1", "key-a", "x"]], {"a": 1}))
def test_what_is_no_set_is_passed_over(tmp_path: Path, value: Any) -> None:
    """A file of another release, or of nobody."""
    Remembered(tmp_path).write("warm", "here", value)
    assert bring_in(live(), tmp_path, FakeEngine()) == []


def test_a_full_device_ends_it(tmp_path: Path) -> None:
    """What requests brought in meanwhile is not pushed out for what was warm once."""
    remember(tmp_path, a=3, b=2)
    engine = FakeEngine(cold=set(NAMES))
    engine.stats = lambda: EngineStats(2, 2000, 3, 3000, 0)  # type: ignore[method-assign]
    assert bring_in(live(), tmp_path, engine) == ["a"]
    assert engine.cold == set(NAMES)


def test_weights_that_are_gone_do_not_stop_the_others(tmp_path: Path) -> None:
    """Each failure is its own."""
    remember(tmp_path, a=3, b=2)
    engine = FakeEngine(cold=set(NAMES), load_fails=True)
    assert bring_in(live(), tmp_path, engine) == ["a", "b"]


def test_stopping_does_not_wait_for_a_slow_admission(tmp_path: Path) -> None:
    """The rest is not begun."""
    remember(tmp_path, a=3, b=2)
    assert bring_in(live(), tmp_path, FakeEngine(), stuck="a") == ["a"]


def test_readiness_waits_for_the_warm_set_but_not_for_ever(tmp_path: Path) -> None:
    """A hub that is slow keeps nobody from a server that could answer others."""
    remember(tmp_path, a=3)
    now_s, tasks, engine = [0.0], live(), FakeEngine()
    warm = warm_set(tasks, tmp_path)
    warmth = Warmth(tasks, engine, Admitting(engine, "a"), warm, lambda: now_s[0])
    warmth.start()
    assert not warmth.is_done
    now_s[0] = 31.0
    assert warmth.is_done
    warmth.stop()


def test_a_version_that_left_is_not_brought_in(tmp_path: Path) -> None:
    """Its uses are counted down to nothing."""
    remember(tmp_path, a=3)
    tasks, engine = live(), FakeEngine(cold=set(NAMES))
    version = tasks.find("a").versions[0]
    version.is_leaving = True
    bring_in(tasks, tmp_path, engine)
    assert "a" in engine.cold
    assert version.in_flight == 0
