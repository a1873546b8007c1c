"""Following a catalog: edits by hand and by other processes, and those that are broken."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.errors import TaskFileError, VersionRetired
from serving.lifecycle.follower import Follower
from tests.lifecycle.folder_life import FolderLife, HashEngine
from tests.lifecycle.living import until

ROOT = Path(__file__).parents[2]
Start = Callable[..., FolderLife]


@pytest.fixture
def engine() -> HashEngine:
    return HashEngine()


@pytest.fixture
def start(tmp_path: Path, engine: HashEngine) -> Iterator[Start]:
    """Starts processes, so to speak, that follow one folder."""
    started: list[FolderLife] = []

    def begin(folder: Path = tmp_path, **settings: Any) -> FolderLife:
        life = FolderLife(folder, engine, **settings)
        life.follower.start()
        started.append(life)
        return life

    yield begin
    for life in started:
        life.close()


def write(folder: Path, name: str, **entry: Any) -> None:
    """Edit a file as an editor does: all at once."""
    draft = folder / f".{name}"
    draft.write_text(yaml.safe_dump(entry))
    draft.replace(folder / f"{name}.yaml")


def test_new_tasks_are_only_outlined(start: Start, tmp_path: Path, engine: HashEngine) -> None:
    """Their files are read at first use, and those of pinned ones at once."""
    life = start()
    write(tmp_path, "plain", adapter="/a/plain@1")
    write(tmp_path, "pinned", adapter="/a/pinned@1", pinned=True)
    until(lambda: "pinned" in life.tasks and life.tasks.find("pinned").versions[0].is_pinned)
    until(lambda: bool(life.tasks.find("plain").versions[0].outline.labels))
    assert [name for call, name in engine.calls if call == "read"] == ["pinned"]
    assert life.answers("plain")


def test_an_edit_takes_over_once_it_is_sound(
    start: Start, tmp_path: Path, engine: HashEngine
) -> None:
    """The version before answers until then, and goes afterwards."""
    write(tmp_path, "topic", adapter="/a/topic@1")
    life = start()
    old = life.answers("topic")
    write(tmp_path, "topic", adapter="/a/topic@2")
    until(lambda: life.answers("topic") != old)
    with pytest.raises(VersionRetired):
        life.act("topic", old, "preload")
    until(lambda: sum(engine.uses.values()) == 1)


@pytest.mark.parametrize(
    "text",
    (
        "adapter: [",
        "7",
        "adaptor: /a/topic@1",
        "adapter: /broken/topic@2",
        "adapter: /absent/topic@2",
        "adapter: /unheard/topic@2",
        "adapter: /wrong/topic@2",
        "adapter: /crash/topic@2",
        "\x00",
    ),
)
def test_a_broken_edit_never_takes_a_task_down(start: Start, tmp_path: Path, text: str) -> None:
    """Whatever is wrong with it; the reason shows, and mending it works."""
    write(tmp_path, "topic", adapter="/a/topic@1")
    life = start()
    old = life.answers("topic")
    (tmp_path / "topic.yaml").write_text(text)
    task = life.tasks.find("topic")
    until(lambda: task.broken is not None or task.versions[-1].state == "rejected")
    assert life.answers("topic") == old
    write(tmp_path, "topic", adapter="/a/topic@3")
    until(lambda: life.answers("topic") != old)


def test_a_task_that_is_deleted_by_hand_goes(
    start: Start, tmp_path: Path, engine: HashEngine
) -> None:
    """And comes back with its file."""
    write(tmp_path, "topic", adapter="/a/topic@1")
    life = start()
    old = life.answers("topic")
    (tmp_path / "topic.yaml").unlink()
    until(lambda: "topic" not in life.tasks)
    until(lambda: not any(engine.uses.values()))
    write(tmp_path, "topic", adapter="/a/topic@1")
    until(lambda: "topic" in life.tasks)
    assert life.answers("topic") == old


def test_a_folder_that_arrives_later_works(
    start: Start, tmp_path: Path, engine: HashEngine
) -> None:
    """The task is rejected with the reason, and tried again by itself."""
    write(tmp_path, "topic", adapter="/unheard/topic@1")
    life = start()
    version = life.tasks.find("topic").versions[0]
    until(lambda: version.state == "rejected")
    assert "no such folder" in str(version.last_error)
    assert version.retry_at_s is not None
    version.retry_at_s = life.tasks.clock()
    life.tasks.stirred.set()
    until(lambda: version.is_ready)


def test_a_catalog_that_cannot_be_read_changes_nothing(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again by itself; the failure is counted each time, and logged once."""
    write(tmp_path, "topic", adapter="/a/topic@1")
    life = start()
    old = life.answers("topic")
    reading = life.store.read

    def fails() -> Any:
        raise TaskFileError("The share is away.")

    life.store.read = fails  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        write(tmp_path, "other", adapter="/a/other@1")
        until(lambda: life.heard["failed"] > 2)
        assert life.answers("topic") == old
        life.store.read = reading  # type: ignore[method-assign]
        until(lambda: "other" in life.tasks)
    assert caplog.text.count("The share is away.") == 1


def test_watching_goes_on_after_a_surprise(start: Start, tmp_path: Path) -> None:
    """Whatever a file system comes up with."""
    life = start()
    watching, surprises = life.store.watch, [1]

    def watch(stop: threading.Event) -> Iterator[None]:
        if surprises:
            surprises.pop()
            raise MemoryError
        return watching(stop)

    life.store.watch = watch  # type: ignore[method-assign]
    life.follower.stop()
    again = Follower(*life.following)
    again.start()
    write(tmp_path, "topic", adapter="/a/topic@1")
    until(lambda: "topic" in life.tasks)
    assert surprises == []
    again.stop()


def test_processes_on_one_folder_converge(start: Start, engine: HashEngine) -> None:
    """What is changed at one is soon so at the others, also what both change at once."""
    one, two = start(), start()
    one.put("topic", adapter="/a/topic@1", id="1")
    until(lambda: "topic" in two.tasks)
    two.put("topic", adapter="/a/topic@2", id="2")
    one.until_answered_by("topic", "2")
    one.act("topic", "2", "rollback")
    two.until_answered_by("topic", "1")
    two.share("topic", {"1": 50, "2": 50})
    until(lambda: {one.answers("topic") for _ in range(4)} == {"1", "2"})
    two.delete("topic", "2")
    until(lambda: len(one.tasks.find("topic").versions) == 1)
    one.delete("topic")
    until(lambda: "topic" not in two.tasks)
    assert "topic" not in one.tasks
    until(lambda: not any(engine.uses.values()))


def test_changes_of_many_processes_all_come_through(start: Start, tmp_path: Path) -> None:
    """Real processes that put versions into the same tasks; a follower sees them all."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.lifecycle.folder_life import FolderLife, HashEngine\n"
        "life = FolderLife(Path(sys.argv[1]), HashEngine(), keep_versions=60)\n"
        "for number in range(8):\n"
        "    life.put(f'task{number % 2}', adapter=f'/a/{sys.argv[2]}@{number}')\n"
        "life.close()\n"
    )
    life = start(keep_versions=60)
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(number)], cwd=ROOT)
        for number in range(3)
    ]
    assert [process.wait(100) for process in running] == [0, 0, 0]
    for name in ("task0", "task1"):
        until(lambda name=name: name in life.tasks and len(life.tasks.find(name).versions) == 12)
        assert len(yaml.safe_load((tmp_path / f"{name}.yaml").read_text())["versions"]) == 12


def test_a_process_that_is_killed_while_it_writes_leaves_whole_files(
    start: Start, tmp_path: Path
) -> None:
    """Whenever it is; what it had confirmed is there."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.lifecycle.folder_life import FolderLife, HashEngine\n"
        "life = FolderLife(Path(sys.argv[1]), HashEngine())\n"
        "for number in range(10000):\n"
        "    life.put('topic', adapter=f'/a/t@{number}', id=str(number))\n"
        "    print(number, flush=True)\n"
    )
    for round in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        confirmed = [process.stdout.readline() for _ in range(5 + round)]
        time.sleep(0.003 * round)
        process.kill()
        confirmed += process.communicate()[0].split()
        life = FolderLife(tmp_path, HashEngine())
        task = life.tasks.find("topic")
        known = {version.id for version in task.versions} | set(task.plan.retired)
        assert {line.strip() for line in confirmed} <= known
        life.put("topic", adapter="/a/t@new", id=f"after-{round}")
        life.delete("topic")
        life.close()
