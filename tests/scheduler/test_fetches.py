"""What comes over a network is fetched beside the loads; an origin that hangs holds up its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from adapter_runtime import Leaf, Residency, SourceError, TaskSpec
from serving.origins import HERE, Ways, origin_of
from serving.scheduler.entries import Entry
from tests.scheduler.rig import Rig, ScriptedEngine, entry, eventually, version

NAMES = tuple(f"far-{number}" for number in range(6))


def far(task: str, place: str = "s3://bucket") -> Entry:
    """A row of a version whose files are at a place."""
    made = entry(task, 3)
    spec = TaskSpec(task, adapter=Leaf(f"{place}/{task}"))
    return replace(made, version=replace(version(task), spec=spec))


def test_stores_that_hang_delay_no_local_load(rig: Rig, engine: ScriptedEngine) -> None:
    """Nor do rows of those that are in host memory already wait."""
    engine.cold = {*NAMES, "cold"}
    engine.fetch_gates = {name: threading.Event() for name in NAMES}
    hanging = [far(name) for name in NAMES]
    rig.submit(*hanging)
    eventually(lambda: len(engine.fetching) == 4)
    rig.submit(cold := entry("cold", 3), warm := far("warm"))
    rig.wait(cold, warm)
    assert not any(each.is_finished for each in hanging)
    for gate in engine.fetch_gates.values():
        gate.set()
    rig.wait()
    assert {load.came_from for load in rig.loaded} == {Residency.ABSENT}


def test_a_store_that_hangs_does_not_stop_loads_on_a_full_device(
    make_rig: Callable[..., Rig],
) -> None:
    """There they go one by one, but not one after what is not here."""
    rig = make_rig(load_threads=1)
    engine = rig.engine
    engine.cold, engine.max_resident = {"far", "a", "b"}, 1
    engine.fetch_gates = {"far": threading.Event()}
    rig.submit(hanging := far("far"))
    eventually(lambda: engine.fetching)
    rig.submit(a := entry("a", 3), b := entry("b", 3))
    rig.wait(a, b)
    assert not hanging.is_finished
    engine.fetch_gates["far"].set()
    rig.wait()


def test_a_fetch_that_fails_is_told_once(rig: Rig, engine: ScriptedEngine) -> None:
    """To all who wait for it."""
    engine.cold, engine.load_fails = {"far"}, True
    rig.submit(one := far("far"), other := far("far"))
    rig.wait()
    assert isinstance(one.error, SourceError)
    assert isinstance(other.error, SourceError)
    assert len(rig.loaded) == 1


@pytest.mark.parametrize(
    ("adapter", "head", "origin"),
    (
        ("/a/b", None, HERE),
        ("pkg://a/b", "file:///a", HERE),
        ("hf://org/a@main", "/a", "hub"),
        ("@ukp/a", None, "hub"),
        ("s3://bucket/a", "hf://org/a", "hub"),
        ("/a", "https://host:1/a", "https://host:1"),
    ),
)
def test_an_origin_is_who_has_to_answer(adapter: str, head: str | None, origin: str) -> None:
    """Nobody has to where all files lie here."""
    assert origin_of(TaskSpec("a", adapter=Leaf(adapter), head=head)) == origin


def test_each_origin_has_its_share() -> None:
    """All those from afar together leave those from here theirs."""
    ways = Ways(2)
    for origin in ("a", "a", "b", "b", "c", "d"):
        assert ways.is_free(origin)
        ways.enter(origin)
    assert [ways.is_free(origin) for origin in ("a", "c", "e", HERE)] == [False] * 3 + [True]
    ways.leave("a")
    assert [ways.is_free(origin) for origin in ("a", "b", "e")] == [True, False, True]
