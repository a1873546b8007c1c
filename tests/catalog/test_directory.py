"""A folder of task files: reading it, changing it, and what can go wrong with either."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from adapter_runtime import Leaf
from serving.catalog.directory import DirectoryStore
from serving.catalog.files import open_store
from serving.catalog.folders import FolderStore
from serving.catalog.locks import LOCK, locked
from serving.catalog.store import Entry
from serving.errors import BrokenEntry, CatalogReadOnly, TaskFileError, VersionConflict

PLAIN = {"name": "t", "adapter": "./a"}


def store_of(folder: Path, **texts: str) -> DirectoryStore:
    """A catalog with files such as `t="adapter: ./a"`."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return DirectoryStore(folder)


def names(folder: Path) -> list[str]:
    """Files that are not the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def test_task_is_made_changed_and_deleted(tmp_path: Path) -> None:
    """Another process reads the same, and the etag changes when the entry does."""
    store, other = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    made = store.change("t", lambda entry: {**PLAIN, "was": entry} if entry else PLAIN)
    assert made is not None
    assert other.read().plans == (made,)
    assert made.versions[0].spec.adapter == Leaf(str(tmp_path / "a"))
    changed = other.change("t", lambda entry: {**(entry or {}), "pinned": True})
    assert changed is not None
    assert changed.etag != made.etag
    assert store.read().plans == (changed,)
    assert store.change("t", lambda entry: None) is None
    assert other.read().plans == ()
    assert names(tmp_path) == []


def test_file_is_written_as_people_write(tmp_path: Path) -> None:
    """Name first, block style, letters of all alphabets, the comments at its beginning."""
    store = store_of(tmp_path, t="# Ours.\n# Careful!\nadapter: ./a\nlabels: [ja, nein]\n")
    store.change("t", lambda entry: {**(entry or {}), "labels": ["größer", "🙂"], "pinned": True})
    assert (tmp_path / "t.yaml").read_text(encoding="utf-8") == (
        "# Ours.\n# Careful!\nname: t\nadapter: ./a\nlabels:\n  - größer\n  - 🙂\npinned: true\n"
    )


def test_change_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    """Comments and order of a file that is right stay."""
    store = store_of(tmp_path, t="pinned: true  # always\nname: t\n")
    before = (tmp_path / "t.yaml").stat()
    assert store.change("t", lambda entry: entry) == store.read().plans[0]
    assert (tmp_path / "t.yaml").stat().st_ino == before.st_ino


def test_task_is_found_by_the_name_in_its_file(tmp_path: Path) -> None:
    """The file keeps its own name; a new task takes a free one."""
    store = store_of(tmp_path, x="name: t")
    store.change("t", lambda entry: {**(entry or {}), "pinned": True})
    store.change("x", lambda entry: {"name": "x"})
    assert names(tmp_path) == ["x.2.yaml", "x.yaml"]
    assert {plan.name for plan in store.read().plans} == {"t", "x"}


@pytest.mark.parametrize(
    ("has_task", "expected", "is_fine"),
    (
        (True, None, True),
        (True, "*", True),
        (True, "-", False),
        (True, "0" * 16, False),
        (False, None, True),
        (False, "*", False),
        (False, "-", True),
        (False, "0" * 16, False),
    ),
)
def test_guard_holds_the_entry_to_what_is_expected(
    has_task: bool, expected: str | None, is_fine: bool, tmp_path: Path
) -> None:
    """Any, none, or exactly that one."""
    store = store_of(tmp_path, **({"t": "name: t"} if has_task else {}))
    if is_fine:
        assert store.change("t", lambda entry: PLAIN, expected) is not None
    else:
        with pytest.raises(VersionConflict, match="t "):
            store.change("t", lambda entry: PLAIN, expected)


def test_etag_guards_exactly_one_state(tmp_path: Path) -> None:
    """The second of two who read the same is refused."""
    store = store_of(tmp_path, t="name: t")
    etag = store.read().plans[0].etag
    store.change("t", lambda entry: PLAIN, etag)
    with pytest.raises(VersionConflict, match=etag):
        store.change("t", lambda entry: None, etag)


@pytest.mark.parametrize(
    "entry", ({"name": "t", "adaptor": "./a"}, {"name": "u"}, {"name": "t", "versions": []})
)
def test_broken_entry_is_never_written(entry: Entry, tmp_path: Path) -> None:
    """The old file stays."""
    store = store_of(tmp_path, t="name: t")
    with pytest.raises(TaskFileError):
        store.change("t", lambda _: entry)
    assert (tmp_path / "t.yaml").read_text() == "name: t"


def test_change_may_refuse(tmp_path: Path) -> None:
    """Its error comes through and the lock is free again."""
    store = store_of(tmp_path, t="name: t")

    def refuse(entry: Entry | None) -> Entry | None:
        raise VersionConflict("No.")

    for _ in range(2):
        with pytest.raises(VersionConflict, match="No"):
            store.change("t", refuse)


@pytest.mark.parametrize(
    "text", ("a: [", "", "7", "name: t\nx: &a [*a]", "name: t\nadapter: {stack: []}")
)
def test_broken_file_is_its_own_task_and_can_be_replaced_or_deleted(
    text: str, tmp_path: Path
) -> None:
    """Its neighbours are read; the change sees an entry that cannot be used."""
    store = store_of(tmp_path, t=text, good="name: good")
    found = store.read()
    assert [plan.name for plan in found.plans] == ["good"]
    assert [broken.name for broken in found.broken] == ["t"]
    assert found.broken[0].etag
    assert store.change("t", lambda entry: entry and PLAIN) is not None
    assert len(store.read().plans) == 2


def test_file_that_is_no_yaml_still_says_whose_it_is(tmp_path: Path) -> None:
    """The task that was read from it goes on under its own name."""
    store = store_of(tmp_path, x='name: "other"\nadapter: [')
    assert [broken.name for broken in store.read().broken] == ["other"]


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    """Reading names both files, and so does a change."""
    store = store_of(tmp_path, a="name: t", b="name: t")
    assert "b.yaml" in store.read().broken[0].reason
    with pytest.raises(BrokenEntry, match=r"a\.yaml"):
        store.change("t", lambda entry: PLAIN)


def test_editors_and_killed_writers_files_are_no_tasks(tmp_path: Path) -> None:
    """The next change removes what writers left; nobody else's."""
    others = (".t.yaml.swp", ".t.yaml", "t.yaml~", "#t.yaml#", ".mine.tmp", "notes.txt")
    for name in (*others, ".t.yaml.4711-0a1b2c3d.tmp"):
        (tmp_path / name).write_text("name: [", encoding="utf-8")
    store = DirectoryStore(tmp_path)
    assert store.read().plans == store.read().broken == ()
    store.change("t", lambda entry: PLAIN)
    assert names(tmp_path) == sorted((*others, "t.yaml"))


def test_writer_waits_for_others_and_not_forever(tmp_path: Path) -> None:
    """The error says where the lock is."""
    store = DirectoryStore(tmp_path, lock_s=0.05)
    with locked(tmp_path, 1), pytest.raises(TaskFileError, match=LOCK):
        store.change("t", lambda entry: PLAIN)
    assert store.change("t", lambda entry: PLAIN)


def test_lock_that_is_removed_while_it_is_waited_for_locks_nobody(tmp_path: Path) -> None:
    """Both writers would think that they are alone."""
    with locked(tmp_path, 1):
        (tmp_path / LOCK).unlink()
        with locked(tmp_path, 1):
            store = DirectoryStore(tmp_path, lock_s=0.05)
            with pytest.raises(TaskFileError):
                store.change("t", lambda entry: PLAIN)


def test_folder_that_is_gone_is_an_error_and_comes_back(tmp_path: Path) -> None:
    """No tasks and no folder are not the same."""
    store = store_of(tmp_path, t="name: t")
    hidden = tmp_path.with_name("hidden")
    tmp_path.rename(hidden)
    with pytest.raises(TaskFileError, match="folder"):
        store.read()
    with pytest.raises(TaskFileError, match="gone"):
        store.change("t", lambda entry: PLAIN)
    hidden.rename(tmp_path)
    assert len(store.read().plans) == 1


def test_read_only_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted ConfigMap, for example."""
    store = store_of(tmp_path, t="name: t")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not store.is_writable
    with pytest.raises(CatalogReadOnly, match="mount it writable"):
        store.change("t", lambda entry: PLAIN)


def test_mode_of_a_file_stays(tmp_path: Path) -> None:
    """A group that could write it still can."""
    store = store_of(tmp_path, t="name: t")
    (tmp_path / "t.yaml").chmod(0o664)
    store.change("t", lambda entry: PLAIN)
    assert (tmp_path / "t.yaml").stat().st_mode & 0o777 == 0o664


def test_edit_that_changes_neither_size_nor_time_is_read(tmp_path: Path) -> None:
    """The kernel's clock is coarse: a young file is read again."""
    store = store_of(tmp_path, t="name: t\npinned: true ")
    store.read()
    store_of(tmp_path, t="name: t\npinned: false")
    os.utime(tmp_path / "t.yaml", (0, 0))
    store.read()
    store_of(tmp_path, t="name: t\npinned: true ")
    os.utime(tmp_path / "t.yaml", (0, 0))
    assert store.read().plans[0].versions[0].spec.pinned


def test_written_folder_stays_a_catalog_when_its_last_task_goes(tmp_path: Path) -> None:
    """Its adapters do not become tasks by themselves."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert isinstance(open_store(str(tmp_path)), FolderStore)
    store = store_of(tmp_path, t="adapter: ./a")
    store.change("t", lambda entry: None)
    assert open_store(str(tmp_path)).read().plans == ()


@pytest.mark.parametrize("is_file", (True, False))
def test_single_files_and_bare_folders_are_not_changed(is_file: bool, tmp_path: Path) -> None:
    """The remedy is a folder of task files."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "head_config.json").write_text("{}", encoding="utf-8")
    file = tmp_path.with_name("tasks.yaml")
    file.write_text("tasks: [{name: a}]", encoding="utf-8")
    store = open_store(str(file if is_file else tmp_path))
    assert not store.is_writable
    assert [plan.name for plan in store.read().plans] == ["a"]
    with pytest.raises(CatalogReadOnly, match="folder with one YAML"):
        store.change("a", lambda entry: None)


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    """Like processes."""
    from tests.catalog.writer import counted

    store = DirectoryStore(tmp_path, lock_s=60)

    def count() -> None:
        for _ in range(5):
            store.change("t", lambda entry: {**counted(entry, "t"), "labels": None})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read().plans[0].versions[0].spec.limits.max_tokens == 20


def test_file_whose_name_is_no_text_is_reported_all_the_same(tmp_path: Path) -> None:
    """An answer can hold its name."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")).write_text("a: 1", encoding="utf-8")
    broken = DirectoryStore(tmp_path).read().broken[0]
    assert (broken.name + broken.reason).encode()
