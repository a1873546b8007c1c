"""A version that breaks batches is named, and costs nobody else an answer."""

from __future__ import annotations

from adapter_runtime import InvalidInput, VersionFailed
from serving.errors import DeviceFailed
from serving.scheduler.entries import Entry
from tests.scheduler.rig import Rig, ScriptedEngine, entry


def errors(entries: list[Entry]) -> set[str]:
    """The tasks with an error."""
    return {each.version.task for each in entries if each.error is not None}


def mixed() -> list[Entry]:
    """Rows of four tasks."""
    return [entry(task, 3, 4) for task in "abcd" for _ in range(3)]


def test_mates_of_a_version_that_raises_are_answered(rig: Rig, engine: ScriptedEngine) -> None:
    """The guilty one is named once for its batch, before its entries are told."""
    engine.poison = {"b": RuntimeError("out of memory")}
    rig.submit(*mixed())
    rig.wait()
    assert errors(rig.finished) == {"b"}
    assert [task for task, _ in rig.guilty] == ["b"]
    assert str(rig.guilty[0][1]) == "out of memory"
    bad = next(each for each in rig.finished if each.error)
    assert isinstance(bad.error, VersionFailed)
    assert "out of memory" not in str(bad.error)


def test_all_entries_of_one_batch_blame_their_version_once(
    rig: Rig, engine: ScriptedEngine
) -> None:
    """Rows without finite numbers are guilt, too."""
    engine.unsound = {"a", "c"}
    rig.submit(*mixed())
    rig.wait()
    assert errors(rig.finished) == {"a", "c"}
    assert sorted(task for task, _ in rig.guilty) == ["a", "c"]


def test_one_row_that_raises_fails_alone(rig: Rig, engine: ScriptedEngine) -> None:
    """Its version is blamed, other requests of it are answered."""
    engine.is_poison = lambda item: len(item.row.input_ids) == 7
    bad = entry("a", 7)
    rig.submit(*(entry("a", 3) for _ in range(9)), bad, *(entry("b", 3) for _ in range(9)))
    rig.wait()
    assert [each for each in rig.finished if each.error] == [bad]
    assert [task for task, _ in rig.guilty] == ["a"]


def test_failed_rows_without_a_guilty_version_blame_nobody(
    rig: Rig, engine: ScriptedEngine
) -> None:
    """Rows fail for their own reasons, and clients make mistakes."""
    engine.poison = {"b": InvalidInput("too odd.")}
    rig.submit(entry("a", 13), entry("b", 3), entry("c", 3))
    rig.wait()
    assert errors(rig.finished) == {"a", "b"}
    assert rig.guilty == []


def test_stats_and_speed_come_from_what_ran(rig: Rig, engine: ScriptedEngine) -> None:
    """A batch that raised has no forward to report."""
    engine.poison = {"b": RuntimeError("x")}
    rig.submit(entry("b", 3))
    rig.wait()
    rig.submit(entry("a", 3))
    rig.wait()
    assert [stats.num_tokens for stats in rig.ran] == [3]


def test_listener_that_raises_loses_no_entry(rig: Rig, engine: ScriptedEngine) -> None:
    """Entries get an error, and the lane goes on."""
    engine.poison = {"b": RuntimeError("x")}
    rig.guilty = None  # type: ignore[assignment]
    rig.submit(entry("b", 3))
    rig.wait()
    rig.submit(entry("a", 3))
    rig.wait()
    assert errors(rig.finished) == {"b"}


def test_a_broken_device_is_no_versions_fault(rig: Rig, engine: ScriptedEngine) -> None:
    """Nobody is blamed when not even the bare backbone can run; afterwards all go on."""
    engine.fails = RuntimeError("unspecified launch failure")
    rig.submit(a := entry("a", 3), b := entry("b", 3))
    rig.wait()
    assert [type(each.error) for each in (a, b)] == [DeviceFailed] * 2
    assert rig.guilty == []
    engine.fails = None
    rig.submit(again := entry("a", 3))
    rig.wait()
    assert again.error is None


def test_a_device_that_computes_nonsense_is_no_versions_fault(
    rig: Rig, engine: ScriptedEngine
) -> None:
    """No finite number for anybody, nor for the bare backbone."""
    engine.unsound = {"a", "bare-backbone"}
    rig.submit(bad := entry("a", 3))
    rig.wait()
    assert isinstance(bad.error, DeviceFailed)
    assert rig.guilty == []
