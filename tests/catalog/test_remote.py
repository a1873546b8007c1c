"""Catalogs behind URLs, on a store in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from adapter_runtime import Leaf
from serving.catalog.files import open_store
from serving.catalog.locks import LOCK
from serving.catalog.objects import Objects
from serving.catalog.remote import RemoteStore
from serving.catalog.store import Entry
from serving.errors import CatalogReadOnly, TaskFileError, VersionConflict

ROOT = "/catalog-tests/tasks"
URL = f"memory:/{ROOT}"
PLAIN = {"name": "t", "adapter": "./a"}


@pytest.fixture
def files() -> Iterator[Any]:
    """The store, empty."""
    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/catalog-tests"):
        system.rm("/catalog-tests", recursive=True)


def store_of(files: Any, stale_s: float = 0.2, **texts: str) -> RemoteStore:
    """A catalog with objects such as `t="adapter: ./a"`."""
    for name, text in texts.items():
        files.pipe_file(f"{ROOT}/{name}.yaml", text.encode())
    return RemoteStore(URL, Objects(URL), 0.05, stale_s)


def test_task_is_made_changed_and_deleted(files: Any) -> None:
    """By two processes in turn; relative Sources start at the URL."""
    store, other = store_of(files), store_of(files)
    assert store.read().plans == ()
    made = store.change("t", lambda _: PLAIN, "-")
    assert made is not None
    assert made.versions[0].spec.adapter == Leaf(f"{URL}/a")
    assert other.read().plans == (made,)
    changed = other.change("t", lambda entry: {**(entry or {}), "pinned": True}, made.etag)
    assert store.read().plans == (changed,)
    with pytest.raises(VersionConflict):
        store.change("t", lambda entry: None, made.etag)
    assert store.change("t", lambda entry: None) is None
    assert other.read().plans == ()
    assert not files.exists(f"{ROOT}/{LOCK}")


def test_broken_object_is_its_own_task(files: Any) -> None:
    """Its neighbours are read, and it can be replaced."""
    store = store_of(files, t="a: [", good="name: good")
    found = store.read()
    assert [plan.name for plan in found.plans] == ["good"]
    assert [broken.name for broken in found.broken] == ["t"]
    assert store.change("t", lambda entry: entry and PLAIN) is not None


def test_only_what_changed_is_read_again(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand tasks are not fetched to see one."""
    store = store_of(files, a="name: a", b="name: b")
    store.read()
    read: list[str] = []
    whole = store._objects.read_all
    monkeypatch.setattr(
        store._objects,
        "read_all",
        lambda paths: whole([read.append(path) or path for path in paths]),
    )
    store_of(files, b="name: c")
    assert {plan.name for plan in store.read().plans} == {"a", "c"}
    assert read == [f"{ROOT}/b.yaml"]


def test_lock_of_a_killed_writer_is_broken(files: Any) -> None:
    """After a while in which it stays the same; a lock that changes hands is waited for."""
    files.pipe_file(f"{ROOT}/{LOCK}", b"gone:1:x")
    assert store_of(files).change("t", lambda _: PLAIN)
    assert not files.exists(f"{ROOT}/{LOCK}")


def test_lock_that_others_keep_taking_is_not_waited_for_endlessly(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says who has it."""
    store = store_of(files)
    others = iter(range(10**6))
    monkeypatch.setattr(store._objects, "create", lambda *_: False)
    monkeypatch.setattr(store._objects, "read", lambda path: f"host:{next(others)}:x".encode())
    with pytest.raises(TaskFileError, match=r"host:\d+:x keeps writing"):
        store.change("t", lambda _: PLAIN)


def test_writers_take_turns(files: Any) -> None:
    """Nobody's change is lost."""

    def count(entry: Entry | None) -> Entry:
        before = entry["limits"]["max_tokens"] if entry else 0
        return {"name": "t", "limits": {"max_tokens": before + 1}}

    def run() -> None:
        for _ in range(5):
            store_of(files, 30).change("t", count)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store_of(files).read().plans[0].versions[0].spec.limits.max_tokens == 15


@pytest.mark.parametrize("has_task", (True, False))
def test_object_that_others_write_meanwhile_is_not_overwritten(has_task: bool, files: Any) -> None:
    """Without the lock, as people and tools do."""
    store = store_of(files, **({"t": "name: t"} if has_task else {}))

    def slow(entry: Entry | None) -> Entry:
        files.pipe_file(f"{ROOT}/t.yaml", b"name: t\npinned: true")
        return PLAIN

    with pytest.raises(VersionConflict, match="meanwhile"):
        store.change("t", slow)
    assert store.read().plans[0].versions[0].spec.pinned


def test_folder_that_was_there_and_is_gone_is_an_error(files: Any) -> None:
    """One whose last task was deleted is still there; one that never was is empty."""
    store = store_of(files)
    assert store.read().plans == ()
    store.change("t", lambda _: PLAIN)
    store.change("t", lambda _: None)
    assert store.read().plans == ()
    files.rm(ROOT, recursive=True)
    with pytest.raises(TaskFileError, match="gone"):
        store.read()


def test_store_that_fails_is_a_sentence_with_a_remedy(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its library raises; credentials are not shown."""
    store = store_of(files, t="name: t")

    def fail(*_: Any, **__: Any) -> Any:
        raise ConnectionError("memory://me:secret@host is unreachable")

    for name in ("ls", "pipe_file"):
        monkeypatch.setattr(type(files), name, fail)
        with pytest.raises(TaskFileError, match="credentials") as caught:
            store.read() if name == "ls" else store.change("u", lambda _: {"name": "u"})
        assert "secret" not in str(caught.value)
        monkeypatch.undo()


def test_one_object_that_cannot_be_read_does_not_stop_the_others(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the store breaks one task for a moment."""
    store = store_of(files, a="name: a", b="name: b")
    whole = type(files).cat_file

    def fail(self: Any, path: str, **more: Any) -> Any:
        if path.endswith("a.yaml"):
            raise ConnectionError("500")
        return whole(self, path, **more)

    monkeypatch.setattr(type(files), "cat_file", fail)
    found = store.read()
    assert ([plan.name for plan in found.plans], found.broken[0].name) == (["b"], "a")
    monkeypatch.undo()
    assert not store.read().broken


def test_changes_are_noticed_by_looking(files: Any) -> None:
    """Also while the folder cannot be listed in between."""
    store, stop = store_of(files), threading.Event()
    watch = store.watch(stop)
    next(watch)
    threading.Timer(0.1, lambda: store_of(files, t="name: t")).start()
    next(watch)
    assert len(store.read().plans) == 1
    stop.set()
    assert next(watch, "ended") == "ended"


def test_single_file_behind_a_url_is_read_and_not_changed(files: Any) -> None:
    """Its backbone and Sources start beside it."""
    files.pipe_file(f"{ROOT}/tasks.yaml", b"backbone: ./bert\ntasks: [{name: a, adapter: ./a}]")
    store = open_store(f"{URL}/tasks.yaml")
    file = store.read()
    assert file.backbone == f"{URL}/bert"
    assert file.plans[0].versions[0].spec.adapter == Leaf(f"{URL}/a")
    with pytest.raises(CatalogReadOnly):
        store.change("a", lambda _: None)
    files.rm_file(f"{ROOT}/tasks.yaml")
    with pytest.raises(TaskFileError, match="no such task file"):
        store.read()


def test_url_of_a_local_folder_is_that_folder(tmp_path: Any) -> None:
    """Written and watched like any."""
    store = open_store(f"file://{tmp_path}")
    store.change("t", lambda _: PLAIN)
    assert (tmp_path / "t.yaml").exists()


def test_unknown_kind_of_url_names_what_to_install() -> None:
    """As a wrong --tasks does."""
    with pytest.raises(TaskFileError, match="s3fs"):
        open_store("none://bucket/tasks")
