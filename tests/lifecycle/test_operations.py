"""Operations on a folder of task files: written first, then live."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import InvalidInput, PolyheadError, UnknownTask
from serving.errors import (
    BrokenEntry,
    CatalogReadOnly,
    Overloaded,
    TaskFileError,
    UnknownVersion,
    VersionConflict,
    VersionRetired,
)
from serving.lifecycle.changing.errands import Errands
from serving.lifecycle.live.viewing import view_of
from tests.lifecycle.folder_life import FolderLife, HashEngine, nothing_left
from tests.lifecycle.living import until

Start = Callable[..., FolderLife]


def test_guards_hold(three: FolderLife) -> None:
    """A task that is not as expected is left alone."""
    etag = three.tasks.find("topic").etag
    for expected in ("other", "-"):
        with pytest.raises(VersionConflict):
            three.put("topic", expected, adapter="/a/topic@4")
        with pytest.raises(VersionConflict):
            three.act("topic", "1", "promote", expected)
        with pytest.raises(VersionConflict):
            three.delete("topic", None, expected)
    with pytest.raises(VersionConflict):
        three.put("new", "*", adapter="/a/new@1")
    three.act("topic", "1", "promote", etag)
    assert three.tasks.find("topic").etag != etag


def test_promote_and_rollback(three: FolderLife) -> None:
    """All the traffic, and back to how it was."""
    three.act("topic", "1", "promote")
    assert three.answers("topic") == "1"
    three.act("topic", "1", "rollback")
    assert three.answers("topic") == "3"
    three.share("topic", {"2": 50, "3": 50})
    three.act("topic", "3", "promote")
    three.act("topic", "3", "rollback")
    assert {three.answers("topic") for _ in range(4)} == {"2", "3"}
    assert {"promoted", "rolled_back", "traffic"} <= set(three.words("topic"))


def test_a_rollback_needs_somebody_to_take_over(life: FolderLife) -> None:
    """Older versions are admitted for it; where none can, nothing changes."""
    life.put("topic", versions=[{"id": "1", "adapter": "/wrong/topic@1"}])
    life.put("topic", adapter="/a/topic@2", id="2")
    life.until_answered_by("topic", "2")
    with pytest.raises(VersionConflict, match="no older version"):
        life.act("topic", "2", "rollback")
    assert life.answers("topic") == "2"


def test_a_version_that_was_never_asked_for_is_admitted_for_its_traffic(start: Start) -> None:
    """After a restart only configs are known, and so no ids of content."""
    first = start()
    for number in (1, 2):
        first.put("topic", adapter=f"/a/topic@{number}")
    until(lambda: all(one.is_ready for one in first.tasks.find("topic").versions))
    old = str(first.tasks.find("topic").versions[0].id)
    again = start()
    again.act("topic", old, "promote")
    assert again.answers("topic") == old
    plain = start()
    plain.put("other", adapter="/a/other@1")
    id = plain.answers("other")
    last = start()
    last.act("other", id, "pin")
    assert last.version("other", id).is_pinned


def test_pins(three: FolderLife, engine: HashEngine) -> None:
    """Held by the engine, and written; both ways."""
    digest = three.version("topic", "1").digest
    three.act("topic", "1", "pin")
    assert ("pin", digest) in engine.calls
    assert three.entry("topic")["versions"][0]["pinned"] is True
    three.act("topic", "1", "unpin")
    until(lambda: ("unpin", digest) in engine.calls)
    assert not three.version("topic", "1").plan.spec.pinned


def test_a_pin_that_is_being_written_is_left_alone(
    three: FolderLife, engine: HashEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though whoever brings pins in line with the catalog comes by before it says so."""
    change = three.store.change

    def late(*given: Any) -> Any:
        three.tasks.stir(three.version("topic", "1"))
        three.caretaker.tend()
        return change(*given)

    monkeypatch.setattr(three.store, "change", late)
    three.act("topic", "1", "pin")
    assert three.version("topic", "1").is_pinned
    pins = [call for call in engine.calls if call[0] in ("pin", "unpin")]
    assert pins == [("pin", three.version("topic", "1").digest)]
    with pytest.raises(VersionConflict):
        three.act("topic", "2", "pin", "other")
    assert not three.version("topic", "2").is_pinned
    three.act("topic", "1", "unpin")
    until(lambda: ("unpin", three.version("topic", "1").digest) in engine.calls)


def test_preload_and_evict(three: FolderLife, engine: HashEngine) -> None:
    """Also where the catalog cannot be written."""
    three.act("topic", "3", "evict")
    assert ("evict", three.version("topic", "3").digest) in engine.calls
    assert three.version("topic", "3").digest in engine.cold
    three.act("topic", "3", "preload")
    assert three.version("topic", "3").digest not in engine.cold
    assert not any(engine.holds.values())


def test_deleting(three: FolderLife, engine: HashEngine) -> None:
    """A version answers 410 from then on, a task 404; what was read is let go."""
    three.delete("topic", "1")
    with pytest.raises(VersionRetired):
        three.act("topic", "1", "promote")
    three.delete("topic")
    with pytest.raises(UnknownTask):
        three.act("topic", "2", "promote")
    with pytest.raises(UnknownTask):
        three.delete("topic")
    assert list(three.folder.glob("*.yaml")) == []
    until(lambda: not any(engine.uses.values()))


def test_what_is_back_is_retired_no_more(life: FolderLife, engine: HashEngine) -> None:
    """Its page lists an id as a version or as retired, never as both."""
    for adapter in ("/a/topic@1", "/a/topic@2"):
        life.put("topic", adapter=adapter)
    first, second = (str(version.id) for version in life.tasks.find("topic").versions)
    life.until_answered_by("topic", second)
    life.delete("topic", first)
    assert view_of(life.tasks.find("topic"), engine, 0.0, True).retired == (first,)
    life.put("topic", adapter="/a/topic@1")
    assert view_of(life.tasks.find("topic"), engine, 0.0, True).retired == ()


def test_sharing_traffic_out_happens_to_the_task(three: FolderLife) -> None:
    """To no version of it."""
    three.share("topic", {"1": 1, "2": 2}, "3")
    event = three.tasks.find("topic").events[-1]
    assert (event.what, event.version, event.reason) == ("traffic", None, "1: 1, 2: 2; copies to 3")


def test_unknown_things_are_named(three: FolderLife) -> None:
    """Tasks with similar names, versions with those that there are."""
    with pytest.raises(UnknownTask, match="topic"):
        three.act("topics", "1", "promote")
    with pytest.raises(UnknownVersion, match="1, 2, 3"):
        three.act("topic", "9", "promote")
    with pytest.raises(UnknownVersion):
        three.share("topic", {"9": 1})
    with pytest.raises(InvalidInput):
        three.act("topic", "1", "explode")


def test_names_that_no_task_can_have_are_not_deleted(three: FolderLife) -> None:
    """They are unknown, but for those of files, which only who made them can rename."""
    with pytest.raises(UnknownTask):
        three.delete("a b", expected="*")
    (three.folder / "a b.yaml").write_text("adapter: /a/topic@1")
    three.follower.follow()
    with pytest.raises(BrokenEntry, match="file"):
        three.delete("a b")


@pytest.mark.parametrize("weights", ({"1": 0.0}, {"1": -1.0}, {"1": float("nan")}))
def test_shares_that_make_no_sense_are_refused(
    three: FolderLife, weights: dict[str, float]
) -> None:
    """Nothing is written."""
    before = three.entry("topic")
    with pytest.raises(InvalidInput):
        three.share("topic", weights)
    assert three.entry("topic") == before


def test_a_read_only_catalog_is_left_alone(start: Start, tmp_path: Path) -> None:
    """A single file: preload and evict work, all that writes is refused before anything is read."""
    file = tmp_path / "tasks.yaml"
    file.write_text("tasks: [{name: topic, versions: [{id: '1', adapter: /a/topic@1}]}]")
    life = start(file)
    changes: tuple[Callable[[], Any], ...] = (
        lambda: life.put("topic", adapter="/a/topic@2"),
        lambda: life.delete("topic"),
        lambda: life.delete("topic", "1"),
        lambda: life.share("topic", None),
        *(
            lambda action=action: life.act("topic", "1", action)
            for action in ("promote", "rollback", "pin", "unpin")
        ),
    )
    for change in changes:
        with pytest.raises(CatalogReadOnly, match="folder"):
            change()
    life.act("topic", "1", "preload")
    life.act("topic", "1", "evict")


def test_a_failed_write_keeps_nothing(three: FolderLife, engine: HashEngine) -> None:
    """Such as a full disk: the error is the caller's, and what was read is retired."""
    changing = three.store.change

    def fails(*_: Any) -> None:
        raise TaskFileError("No space left on device.")

    three.store.change = fails  # type: ignore[method-assign]
    with pytest.raises(TaskFileError):
        three.put("topic", adapter="/a/topic@4")
    with pytest.raises(TaskFileError):
        three.act("topic", "1", "pin")
    three.store.change = changing  # type: ignore[method-assign]
    assert nothing_left(engine, three)
    assert not three.version("topic", "1").is_pinned
    assert three.answers("topic") == "3"


def test_changes_at_once_are_bounded() -> None:
    """More are told to come back."""
    gate, errands = threading.Event(), Errands(2, "test")
    running = [errands.start(lambda: gate.wait(20)) for _ in range(2)]
    with pytest.raises(Overloaded):
        errands.start(lambda: None)
    gate.set()
    assert [future.result(20) for future in running] == [True, True]
    errands.close()
    with pytest.raises(PolyheadError):
        errands.start(lambda: None)


def test_a_rule_takes_a_version_out(three: FolderLife) -> None:
    """Written down with its reason, for all processes."""
    three.share("topic", {"2": 90, "3": 10})
    three.operations.roll_back("topic", "3", "error rate 0.5 is above 0.1")
    assert {three.answers("topic") for _ in range(10)} == {"2"}
    assert "above 0.1" in three.entry("topic")["versions"][2]["rolled_back"]
    assert three.tasks.find("topic").events[-1].reason == "error rate 0.5 is above 0.1"
    three.act("topic", "3", "promote")
    assert three.answers("topic") == "3"


def test_a_rule_holds_in_memory_where_nothing_can_be_written(start: Start, tmp_path: Path) -> None:
    """Until the file changes; reading it again is no change."""
    file = tmp_path / "tasks.yaml"
    text = "tasks: [{name: topic, versions: [{id: '1', adapter: /a/t@1}, {id: '2', adapter: /a/t@2"
    file.write_text(text + "}]}]")
    life = start(file)
    life.until_answered_by("topic", "2")
    life.act("topic", "1", "preload")
    life.operations.roll_back("topic", "2", "it fails")
    assert life.answers("topic") == "1"
    life.follower.follow()
    assert life.answers("topic") == "1"
    assert life.version("topic", "2").plan.rolled_back == "it fails"
    file.write_text(text + "}]}] # mended")
    life.follower.follow()
    assert life.answers("topic") == "2"


def test_a_rule_leaves_the_last_version_alone(life: FolderLife) -> None:
    """Somebody must answer."""
    life.put("topic", adapter="/a/topic@1", id="1")
    life.until_answered_by("topic", "1")
    life.operations.roll_back("topic", "1", "it fails")
    assert life.answers("topic") == "1"
    life.operations.roll_back("gone", "1", "it fails")
