"""Changes are noticed: by the kernel's word, and by looking where it gives none."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from serving.catalog import watching
from serving.catalog.files import open_store
from serving.catalog.plans import TaskFile
from serving.catalog.store import CatalogStore
from serving.errors import TaskFileError

WAIT_S = 20.0


class Watcher:
    """Reads a catalog whenever its watch says so."""

    def __init__(self, store: CatalogStore) -> None:
        self.store = store
        self.stop = threading.Event()
        self.last: TaskFile | None = None
        self._changed = threading.Condition()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for _ in self.store.watch(self.stop):
            with suppress(TaskFileError):
                last = self.store.read()
                with self._changed:
                    self.last = last
                    self._changed.notify_all()

    def sees(self, *names: str, broken: tuple[str, ...] = ()) -> bool:
        """Whether it comes to read these tasks."""

        def is_so() -> bool:
            return (
                self.last is not None
                and {plan.name for plan in self.last.plans} == set(names)
                and {each.name for each in self.last.broken} == set(broken)
            )

        with self._changed:
            return self._changed.wait_for(is_so, WAIT_S)


@contextmanager
def watched(place: Path, poll_s: float) -> Iterator[Watcher]:
    watcher = Watcher(open_store(str(place), poll_s))
    watcher.thread.start()
    try:
        yield watcher
    finally:
        watcher.stop.set()
        watcher.thread.join(WAIT_S)
        assert not watcher.thread.is_alive()


def no_word(*_: object) -> Iterator[set[str]]:
    """A file system that tells nothing."""
    raise OSError("No watches left.")
    yield


@pytest.fixture(params=("told", "looked at"))
def poll_s(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Once the kernel alone must do, once looking alone."""
    if request.param == "told":
        return 3600.0
    monkeypatch.setattr(watching, "_told", no_word)
    return 0.05


def write(folder: Path, name: str, text: str = "") -> None:
    (folder / f"{name}.yaml").write_text(text or f"name: {name}", encoding="utf-8")


def by_rename(folder: Path) -> None:
    """As editors save."""
    temporary = folder / ".b.yaml.swp"
    temporary.write_text("name: b", encoding="utf-8")
    temporary.rename(folder / "b.yaml")


EDITS: tuple[tuple[Callable[[Path], object], tuple[str, ...]], ...] = (
    (lambda folder: write(folder, "b"), ("a", "b")),
    (lambda folder: write(folder, "a", "name: b"), ("b",)),
    (lambda folder: (folder / "a.yaml").unlink(), ()),
    (by_rename, ("a", "b")),
)


@pytest.mark.parametrize(("edit", "names"), EDITS)
def test_edits_of_a_folder_are_noticed(
    edit: Callable[[Path], object], names: tuple[str, ...], poll_s: float, tmp_path: Path
) -> None:
    """New, changed, removed, and saved by renaming."""
    write(tmp_path, "a")
    with watched(tmp_path, poll_s) as watcher:
        assert watcher.sees("a")
        edit(tmp_path)
        assert watcher.sees(*names)


def test_changes_through_the_store_are_noticed_by_others(poll_s: float, tmp_path: Path) -> None:
    """Several servers converge."""
    with watched(tmp_path, poll_s) as watcher:
        assert watcher.sees()
        open_store(str(tmp_path)).change("a", lambda entry: {"name": "a"})
        assert watcher.sees("a")


def test_file_that_is_written_slowly_is_read_when_it_is_whole(
    poll_s: float, tmp_path: Path
) -> None:
    """Broken for a moment, as long as nobody finishes it."""
    with watched(tmp_path, poll_s) as watcher, (tmp_path / "a.yaml").open("w") as file:
        assert watcher.sees(broken=("a",))
        file.write("adapter: [")
        file.flush()
        file.seek(0)
        file.write("adapter: ./")
        file.flush()
        assert watcher.sees("a")


def test_single_file_is_watched(poll_s: float, tmp_path: Path) -> None:
    """Saved in place or by renaming."""
    file = tmp_path / "tasks.yaml"
    file.write_text("tasks: [{name: a}]", encoding="utf-8")
    with watched(file, poll_s) as watcher:
        assert watcher.sees("a")
        file.write_text("tasks: [{name: b}]", encoding="utf-8")
        assert watcher.sees("b")
        other = tmp_path / "other"
        other.write_text("tasks: [{name: c}]", encoding="utf-8")
        other.rename(file)
        assert watcher.sees("c")


def test_links_that_are_turned_are_noticed(poll_s: float, tmp_path: Path) -> None:
    """A Kubernetes ConfigMap: files link into `..data`, which links to the current release."""
    for release, name in (("..1", "a"), ("..2", "b")):
        (tmp_path / release).mkdir()
        write(tmp_path / release, "task", f"name: {name}")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "task.yaml").symlink_to("..data/task.yaml")
    with watched(tmp_path, poll_s) as watcher:
        assert watcher.sees("a")
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..1")
        assert watcher.sees("b")


def test_link_to_the_folder_may_be_turned(tmp_path: Path) -> None:
    """A release folder behind `current`; Sources start in the one that is current."""
    for release in "ab":
        (tmp_path / release).mkdir()
        write(tmp_path / release, release, "adapter: ./x")
    current = tmp_path / "current"
    current.symlink_to("a")
    with watched(current, 0.1) as watcher:
        assert watcher.sees("a")
        (tmp_path / "next").symlink_to("b")
        (tmp_path / "next").rename(current)
        assert watcher.sees("b")
        write(tmp_path / "b", "c")
        assert watcher.sees("b", "c")
    assert watcher.store.base == tmp_path / "b"


def test_folder_may_disappear_and_come_back(tmp_path: Path) -> None:
    """What was read last holds meanwhile; then it is watched again."""
    folder, away = tmp_path / "tasks", tmp_path / "away"
    folder.mkdir()
    write(folder, "a")
    with watched(folder, 0.1) as watcher:
        assert watcher.sees("a")
        folder.rename(away)
        assert not folder.exists()
        assert watcher.sees("a")
        folder.mkdir()
        write(folder, "b")
        assert watcher.sees("b")
        write(folder, "c")
        assert watcher.sees("b", "c")


def test_bare_adapter_folders_are_watched(poll_s: float, tmp_path: Path) -> None:
    """One that is moved in is a task."""
    for name in ("a", ".b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text("{}", encoding="utf-8")
    with watched(tmp_path, poll_s) as watcher:
        assert watcher.sees("a", broken=(".b",))
        (tmp_path / ".b").rename(tmp_path / "b")
        assert watcher.sees("a", "b")


def test_quiet_folder_wakes_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One word at the start, then none: not for the lock, nor for editors' files."""
    write(tmp_path, "a")
    store, stop, words = open_store(str(tmp_path), 0.05), threading.Event(), 0
    looks = threading.Semaphore(0)
    look = store._stamps  # type: ignore[attr-defined]

    def counted() -> object:
        looks.release()
        return look()

    monkeypatch.setattr(store, "_stamps", counted)

    def run() -> None:
        nonlocal words
        for _ in store.watch(stop):
            words += 1

    thread = threading.Thread(target=run)
    thread.start()
    (tmp_path / ".a.yaml.swp").write_text("x", encoding="utf-8")
    os.utime(tmp_path / ".a.yaml.swp")
    for _ in range(5):
        assert looks.acquire(timeout=WAIT_S)
    stop.set()
    thread.join()
    assert words == 1
