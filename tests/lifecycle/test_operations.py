"""Operations on a folder of task files: written first, then live, and nothing kept of failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import InvalidInput, PolyheadError, RejectedAdapter, SourceRefused, UnknownTask
from serving.errors import (
    BrokenEntry,
    CatalogReadOnly,
    Overloaded,
    TaskFileError,
    UnknownVersion,
    VersionConflict,
    VersionRetired,
)
from serving.lifecycle.errands import Errands
from tests.lifecycle.folder_life import FolderLife, HashEngine
from tests.lifecycle.living import until

Start = Callable[..., FolderLife]


@pytest.fixture
def engine() -> HashEngine:
    return HashEngine()


@pytest.fixture
def start(tmp_path: Path, engine: HashEngine) -> Iterator[Start]:
    """Starts processes, so to speak, on one folder."""
    started: list[FolderLife] = []

    def begin(folder: Path = tmp_path, **settings: Any) -> FolderLife:
        started.append(FolderLife(folder, engine, **settings))
        return started[-1]

    yield begin
    for life in started:
        life.close()


@pytest.fixture
def life(start: Start) -> FolderLife:
    return start()


@pytest.fixture
def three(life: FolderLife) -> FolderLife:
    """A task of three good versions, the newest answering."""
    for id in ("1", "2", "3"):
        life.put("topic", adapter=f"/a/topic@{id}", id=id)
        life.until_answered_by("topic", id)
    return life


def nothing_left(engine: HashEngine, life: FolderLife) -> bool:
    """Whether every version that was read and is not live was retired."""
    live = {
        version.digest: 1
        for task in life.tasks
        for version in task.versions
        if version.prepared is not None
    }
    return {digest: uses for digest, uses in engine.uses.items() if uses} == live


def test_put_makes_a_task_and_then_versions(life: FolderLife, engine: HashEngine) -> None:
    """Checked in the background at once; the newest ready one answers."""
    assert life.put("topic", adapter="/a/topic@1") is True
    until(lambda: life.tasks.find("topic").versions[0].is_ready)
    first = life.answers("topic")
    assert life.put("topic", adapter="/a/topic@2") is False
    until(lambda: life.answers("topic") != first)
    assert [version.id for version in life.tasks.find("topic").versions] == [
        first,
        life.answers("topic"),
    ]
    assert engine.calls.count(("read", "topic")) == 2
    assert nothing_left(engine, life)


def test_the_same_again_changes_nothing(three: FolderLife, engine: HashEngine) -> None:
    """Neither file nor versions, and nothing that was read is kept."""
    before = three.entry("topic")
    assert three.put("topic", adapter="/a/topic@3", id="3") is False
    assert three.entry("topic") == before
    assert nothing_left(engine, three)


def test_an_id_stands_for_one_content(three: FolderLife, engine: HashEngine) -> None:
    """Another adapter, or the same one whose files have changed, needs another id."""
    with pytest.raises(VersionConflict, match="another id"):
        three.put("topic", adapter="/a/topic@4", id="3")
    engine.contents["/a/topic@3"] = "new"
    with pytest.raises(VersionConflict, match="another id"):
        three.put("topic", adapter="/a/topic@3", id="3")
    assert nothing_left(engine, three)
    assert three.answers("topic") == "3"


def test_files_that_changed_are_a_new_version(life: FolderLife, engine: HashEngine) -> None:
    """Whoever trains into the same folder puts the same entry again."""
    life.put("topic", adapter="/a/topic@1")
    old = life.answers("topic")
    engine.contents["/a/topic@1"] = "new"
    life.put("topic", adapter="/a/topic@1")
    until(lambda: life.answers("topic") != old)
    assert life.tasks.find("topic").versions[0].id == old


def test_an_older_version_put_again_is_the_newest(life: FolderLife) -> None:
    """Its content is known, and it takes over at once."""
    for number in (1, 2):
        life.put("topic", adapter=f"/a/topic@{number}")
        until(lambda: all(one.is_ready for one in life.tasks.find("topic").versions))
    second = life.answers("topic")
    life.put("topic", adapter="/a/topic@1")
    assert life.answers("topic") != second
    assert len(life.tasks.find("topic").versions) == 2


@pytest.mark.parametrize("folder", ("broken", "absent", "crash", "wrong", "wide"))
def test_what_cannot_serve_is_entered_and_rejected(
    life: FolderLife, engine: HashEngine, folder: str
) -> None:
    """With reasons; the old version goes on, and nobody can give the new one traffic."""
    life.put("topic", adapter="/a/topic@1", id="1")
    life.until_answered_by("topic", "1")
    assert life.put("topic", adapter=f"/{folder}/topic@2", id="2") is False
    until(lambda: life.version("topic", "2").state == "rejected")
    assert life.version("topic", "2").reasons
    for attempt in (
        lambda: life.act("topic", "2", "promote"),
        lambda: life.act("topic", "2", "pin"),
        lambda: life.act("topic", "2", "preload"),
        lambda: life.share("topic", {"1": 90, "2": 10}),
        lambda: life.share("topic", None, "2"),
    ):
        with pytest.raises(RejectedAdapter):
            attempt()
    assert life.answers("topic") == "1"
    assert nothing_left(engine, life)


def test_what_was_rejected_is_tried_again_when_put_again(
    life: FolderLife, engine: HashEngine
) -> None:
    """Files that arrived meanwhile are found."""
    engine.fails_to_read = OSError("away")
    life.put("topic", adapter="/a/topic@1", id="1")
    until(lambda: life.version("topic", "1").state == "rejected")
    engine.fails_to_read = None
    life.put("topic", adapter="/a/topic@1", id="1")
    until(lambda: life.version("topic", "1").is_ready)


BROKEN_BODIES: tuple[dict[str, Any], ...] = (
    {"adaptor": "/a"},
    {"adapter": 7},
    {"adapter": "/a", "id": "-"},
    {"adapter": "/a", "weight": -1},
    {"adapter": None, "head": 7},
    {"versions": []},
    {"versions": [{"adapter": "/a"}], "adapter": "/b"},
)


@pytest.mark.parametrize("body", BROKEN_BODIES)
def test_broken_entries_are_refused(life: FolderLife, body: dict[str, Any]) -> None:
    """Nothing is written."""
    with pytest.raises(InvalidInput):
        life.put("topic", **body)
    assert list(life.folder.glob("*.yaml")) == []


def test_sources_that_are_not_allowed_are_refused(start: Start, tmp_path: Path) -> None:
    """Before anything is opened or written."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    life = start(folder, allowed_sources=str(tmp_path / "good"))
    for adapter in ("/bad/topic", "hf://org/name", {"stack": [str(tmp_path / "good"), "/bad"]}):
        with pytest.raises(SourceRefused):
            life.put("topic", adapter=adapter)
    assert list(folder.glob("*.yaml")) == []
    life.put("topic", adapter=str(tmp_path / "good" / "topic@1"))
    assert "topic" in life.tasks


def test_a_whole_task_is_replaced(three: FolderLife, engine: HashEngine) -> None:
    """Versions that stay are not read again; those that go are retired."""
    kept = three.version("topic", "3")
    versions = [
        {"id": "3", "adapter": "/a/topic@3", "weight": 75},
        {"id": "4", "adapter": "/a/topic@4", "weight": 25},
    ]
    assert three.put("topic", versions=versions) is False
    until(lambda: three.version("topic", "4").is_ready)
    assert three.version("topic", "3") is kept
    assert {three.answers("topic") for _ in range(8)} == {"3", "4"}
    with pytest.raises(VersionRetired):
        three.act("topic", "1", "promote")
    until(lambda: nothing_left(engine, three))


def test_only_so_many_superseded_versions_stay(start: Start, engine: HashEngine) -> None:
    """The oldest are retired, unless they are pinned or in use."""
    life = start(keep_versions=2)
    for number in range(6):
        life.put("topic", adapter=f"/a/topic@{number}", id=str(number))
        life.until_answered_by("topic", str(number))
        if number == 0:
            life.act("topic", "0", "pin")
    assert [version.id for version in life.tasks.find("topic").versions] == ["0", "3", "4", "5"]
    with pytest.raises(VersionRetired):
        life.act("topic", "1", "preload")
    until(lambda: nothing_left(engine, life))


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


def test_a_file_that_is_broken_by_hand_is_mended_by_a_whole_task(three: FolderLife) -> None:
    """What needs to understand it is refused; the versions that were there go on meanwhile."""
    (three.folder / "topic.yaml").write_text("versions: 7")
    with pytest.raises(BrokenEntry):
        three.act("topic", "1", "promote")
    three.follower.follow()
    assert three.answers("topic") == "3"
    three.put("topic", versions=[{"id": "3", "adapter": "/a/topic@3"}])
    assert three.answers("topic") == "3"
    assert three.tasks.find("topic").broken is None


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


def test_a_slow_read_does_not_hold_the_entry_up(start: Start, engine: HashEngine) -> None:
    """It is entered unread when patience ends; what comes too late is let go."""
    engine.reading = threading.Event()
    life = start()
    life.operations._putting._early._patience_s = 0.05
    assert life.put("topic", adapter="/a/topic@1") is True
    assert life.entry("topic")["adapter"] == "/a/topic@1"
    engine.reading.set()
    until(lambda: life.tasks.find("topic").versions[0].is_ready)
    until(lambda: nothing_left(engine, life))


def test_many_changes_at_once_all_come_through(life: FolderLife) -> None:
    """Each task gets all its versions, whoever else writes."""
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(
                lambda number: life.put(
                    f"task{number % 4}", adapter=f"/a/x@{number}", id=str(number)
                ),
                range(16),
            )
        )
    assert sum(made) == 4
    for task in life.tasks:
        assert len({version.id for version in task.versions}) == 4


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
