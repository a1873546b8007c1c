"""URLs of stores: copied whole, kept by what the listing says, used when the store is away."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.resolve import at_hand, resolve
from adapter_runtime.sources.rules import SourceRules
from tests.sources.conftest import FILES, URL, no_room, put


def copies(rules: SourceRules) -> list[Path]:
    return sorted(rules.cache().glob("*/*"))


def away(*args: object, **kwargs: object) -> None:
    raise ConnectionError("no route to host")


def test_only_files_that_are_read_are_copied(store: MemoryFileSystem, rules: SourceRules) -> None:
    """Documents and folders of other things stay in the store."""
    folder = resolve(URL, rules=rules)
    assert {path.relative_to(folder.root).as_posix() for path in folder.root.rglob("*.*")} == {
        "adapter_config.json",
        "pytorch_adapter.bin",
        "1_Pooling/config.json",
    }
    assert folder.path("pytorch_adapter.bin").read_bytes() == b"weights"
    assert folder.root.name == "spam"


def test_files_that_stay_the_same_are_copied_once(
    store: MemoryFileSystem, rules: SourceRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing tells; no content is read."""
    first = resolve(URL, rules=rules).root
    monkeypatch.setattr(MemoryFileSystem, "_open", away)
    assert resolve(URL, rules=rules).root == first


def test_files_that_changed_are_copied_again(store: MemoryFileSystem, rules: SourceRules) -> None:
    """Even where the size is the same; who reads the old copy still can."""
    before = resolve(URL, rules=rules)
    put(store, files={"pytorch_adapter.bin": b"changed"})
    after = resolve(URL, rules=rules)
    assert after.path("pytorch_adapter.bin").read_bytes() == b"changed"
    assert before.path("pytorch_adapter.bin").read_bytes() == b"weights"
    assert after.fingerprint() != before.fingerprint()


def test_equal_files_have_one_fingerprint_wherever_they_lie(
    store: MemoryFileSystem, rules: SourceRules, tmp_path: Path
) -> None:
    """In a store, under another name, on the disk; what is not read does not count."""
    put(store, "memory://other/place", {**FILES, "README.md": b"other words"})
    for name, content in FILES.items():
        (tmp_path / "local" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "local" / name).write_bytes(content)
    sources = (URL, "memory://other/place", str(tmp_path / "local"))
    assert len({resolve(source, rules=rules).fingerprint() for source in sources}) == 1


def test_a_store_that_is_away_serves_the_newest_copy(
    store: MemoryFileSystem,
    rules: SourceRules,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a warning; without a copy it is an error that says what to check."""
    resolve(URL, rules=rules)
    put(store, files={"pytorch_adapter.bin": b"changed"})
    newest = resolve(URL, rules=rules).root
    monkeypatch.setattr(MemoryFileSystem, "ls", away)
    with caplog.at_level(logging.WARNING):
        assert resolve(URL, rules=rules).root == newest
    assert "using the copy here" in caplog.text
    with pytest.raises(SourceError, match=r"no route to host.*no copy is here; check the network"):
        resolve("memory://bucket/other", rules=rules)


def test_the_newest_copy_is_the_one_that_was_current_last(
    store: MemoryFileSystem, rules: SourceRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that went back to an older state are served in that state."""
    first = resolve(URL, rules=rules).root
    kept = {name: store.store[name] for name in list(store.store)}
    put(store, files={"pytorch_adapter.bin": b"changed"})
    resolve(URL, rules=rules)
    store.store.update(kept)
    assert resolve(URL, rules=rules).root == first
    at = at_hand(URL, rules)
    assert at
    assert at.root == first


def test_at_hand_is_what_was_copied(store: MemoryFileSystem, rules: SourceRules) -> None:
    """The store is not asked."""
    assert at_hand(URL, rules) is None
    root = resolve(URL, rules=rules).root
    store.store.clear()
    found = at_hand(URL, rules)
    assert found
    assert found.root == root


@pytest.mark.parametrize(
    ("limits", "setting"), (((6, 100), "max_file_bytes"), ((10, 10), "max_source_bytes"))
)
def test_sizes_are_checked_before_anything_is_copied(
    store: MemoryFileSystem, rules: SourceRules, limits: tuple[int, int], setting: str
) -> None:
    """Per file, and for all files together."""
    tight = SourceRules((), *limits, rules.cache_dir)
    with pytest.raises(SourceError, match=f"raise {setting} to accept"):
        resolve(URL, rules=tight)
    assert copies(rules) == []


class Endless(MemoryFile):
    """Content without end."""

    def read(self, size: int = -1) -> bytes:
        return b"x" * 100


def test_content_longer_than_announced_is_cut_off(
    store: MemoryFileSystem, rules: SourceRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that lies about sizes fills no disk."""
    endless = Endless(store, "/x", b"")
    monkeypatch.setattr(MemoryFileSystem, "_open", lambda *args, **kwargs: endless)
    with pytest.raises(SourceError, match="cut off"):
        resolve(URL, rules=rules)
    assert copies(rules) == []


def test_content_that_ends_early_is_not_kept(
    store: MemoryFileSystem, rules: SourceRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, and then an error."""
    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "_open", lambda *a, **k: MemoryFile(store, "/x", b""))
        with pytest.raises(SourceError, match="ended after 0 of 2 bytes"):
            resolve(URL, rules=rules)
    assert copies(rules) == []
    assert resolve(URL, rules=rules).has("adapter_config.json")


def test_files_that_change_while_they_are_copied_are_copied_again(
    store: MemoryFileSystem, rules: SourceRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy has half of the old files and half of the new ones."""
    opened = MemoryFileSystem._open
    changed: list[str] = []

    def change(self: MemoryFileSystem, path: str, *args: Any, **kwargs: Any) -> Any:
        if path.endswith("pytorch_adapter.bin") and not changed:
            changed.append(path)
            put(store, files={"adapter_config.json": b"[1]", "pytorch_adapter.bin": b"changed"})
        return opened(self, path, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "_open", change)
    folder = resolve(URL, rules=rules)
    assert changed
    assert folder.read_json("adapter_config.json") == [1]
    assert folder.path("pytorch_adapter.bin").read_bytes() == b"changed"


def test_what_a_killed_process_left_is_never_read(
    store: MemoryFileSystem, rules: SourceRules, tmp_path: Path
) -> None:
    """Half a copy has another name; it is removed when it is a week old."""
    folder = resolve(URL, rules=rules).root
    half = folder.parent.parent / f"{folder.parent.name}.part-abc"
    folder.parent.rename(half)
    assert at_hand(URL, rules) is None
    os.utime(half, (1, 1))
    assert resolve(URL, rules=rules).has("pytorch_adapter.bin")
    assert not half.exists()


def test_copies_that_nobody_asks_for_are_removed_whatever_their_url(
    store: MemoryFileSystem, rules: SourceRules
) -> None:
    """A catalog whose versions have folders of their own would fill the disk."""
    old = resolve(URL, rules=rules).root.parent
    strange = rules.cache() / "somebody" / "else"
    strange.mkdir(parents=True)
    for path in (old, strange):
        os.utime(path, (1, 1))
    for name in ("egg", "ham"):
        put(store, f"memory://bucket/{name}", FILES)
        resolve(f"memory://bucket/{name}", rules=rules)
    assert not old.exists()
    assert strange.exists()
    assert resolve(URL, rules=rules).has("pytorch_adapter.bin")


def test_readers_that_copy_at_once_agree(store: MemoryFileSystem, rules: SourceRules) -> None:
    """Each has the whole files, and one copy is left."""
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: resolve(URL, rules=rules), range(32)))
    assert {b"weights"} == {each.path("pytorch_adapter.bin").read_bytes() for each in found}
    assert len(copies(rules)) == 1


def test_a_full_disk_is_named(store: MemoryFileSystem, rules: SourceRules) -> None:
    """Nothing half is left; with room again the next try is clean."""
    put(store, files={"pytorch_adapter.bin": b"x" * 50_000})
    with (
        pytest.raises(SourceError, match=r"cannot be written .*make room, or set cache_dir"),
        no_room(30_000),
    ):
        resolve(URL, rules=rules)
    assert copies(rules) == []
    assert resolve(URL, rules=rules).has("pytorch_adapter.bin")
