"""New versions: written first, then live, checked beside; nothing kept of failures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import InvalidInput, RejectedAdapter, SourceRefused
from serving.errors import (
    BrokenEntry,
    VersionConflict,
    VersionRetired,
)
from tests.lifecycle.folder_life import FolderLife, HashEngine, nothing_left
from tests.lifecycle.living import until

Start = Callable[..., FolderLife]


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
    assert life.put("topic", adapter="/a/topic@1", id="1") is False
    until(lambda: life.version("topic", "1").is_ready)
    assert life.answers("topic") == "1"


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


def test_a_slow_read_does_not_hold_the_entry_up(start: Start, engine: HashEngine) -> None:
    """It is entered unread when patience ends; what comes too late is let go."""
    engine.reading = threading.Event()
    life = start()
    life.operations._putting._patience_s = 0.05
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
