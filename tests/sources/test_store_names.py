"""How stores are named, and what is said where they cannot be opened."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.resolve import absolute, resolve
from adapter_runtime.sources.rules import SourceRules
from tests.sources.conftest import URL


@pytest.mark.parametrize(
    ("source", "remedy"),
    (
        ("memory://bucket/none", "no such folder"),
        ("nosuch://bucket/a", "nosuch:// is unknown; write a path"),
        ("zip://bucket/a", "zip:// is unknown"),
        ("filecache://bucket/a", "filecache:// is unknown"),
    ),
)
def test_what_cannot_be_opened_says_why(
    store: MemoryFileSystem, rules: SourceRules, source: str, remedy: str
) -> None:
    """Missing folders, unknown schemes, wrappers around other stores."""
    with pytest.raises(SourceError, match=f"^{source}: .*{remedy}"):
        resolve(source, rules=rules)


@pytest.mark.parametrize(
    ("scheme", "package"),
    (("s3", r"polyhead\[s3\]"), ("gs", "gcsfs"), ("az", "adlfs"), ("https", "aiohttp")),
)
def test_a_missing_driver_says_what_to_install(
    rules: SourceRules, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str
) -> None:
    """Drivers of stores are extras."""

    def missing(url: str, **options: object) -> None:
        raise ImportError("Install something")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(SourceError, match=f"pip install '{package}'"):
        resolve(f"{scheme}://bucket/a", rules=rules)


@pytest.mark.parametrize("name", ("ls", "_open"))
def test_a_store_that_refuses_is_not_asked_again(
    store: MemoryFileSystem, rules: SourceRules, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nor is an old copy served in its place."""
    asked: list[object] = []

    def refuse(*args: object, **kwargs: object) -> None:
        asked.append(args)
        raise PermissionError("denied")

    monkeypatch.setattr(MemoryFileSystem, name, refuse)
    with pytest.raises(SourceError, match="check the credentials"):
        resolve(URL, rules=rules)
    assert len(asked) == 1


def test_a_cache_that_cannot_be_written_is_named(store: MemoryFileSystem, tmp_path: Path) -> None:
    """With the setting that moves it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"cannot be written .*; set cache_dir"):
        resolve(URL, rules=SourceRules(cache_dir=str(tmp_path / "file")))


def test_copies_go_to_the_users_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the setting says otherwise."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert SourceRules().cache() == tmp_path / "polyhead" / "sources"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert SourceRules().cache() == Path.home() / ".cache" / "polyhead" / "sources"
    with pytest.raises(SourceError, match="set cache_dir"):
        SourceRules(cache_dir="~nobody-of-that-name/x").cache()


@pytest.mark.parametrize(
    ("source", "expected"),
    (
        ("./a", "s3://bucket/tasks/a"),
        ("a/b", "s3://bucket/tasks/a/b"),
        ("../adapters/x", "s3://bucket/adapters/x"),
        ("..", "s3://bucket"),
        ("/srv/a", "/srv/a"),
        ("hf://org/name@v1", "hf://org/name@v1"),
        ("s3://other/x", "s3://other/x"),
        ("@ukp/name", "hf://AdapterHub/name"),
    ),
)
def test_a_task_files_paths_start_at_its_url(source: str, expected: str) -> None:
    """A catalog in a bucket names adapters beside it."""
    assert absolute(source, "s3://bucket/tasks") == expected


def test_a_path_may_not_leave_its_bucket() -> None:
    """What is meant must be written in full."""
    with pytest.raises(SourceError, match=r"leads out of s3://bucket"):
        absolute("../../other/x", "s3://bucket/tasks")


def test_a_base_may_be_a_url_or_a_file_url(
    store: MemoryFileSystem, rules: SourceRules, tmp_path: Path
) -> None:
    """Relative Sources are resolved from there."""
    assert resolve("spam", "memory://bucket/adapters", rules).has("adapter_config.json")
    (tmp_path / "a").mkdir()
    assert resolve("a", f"file://{tmp_path}", rules).root == tmp_path / "a"
    assert resolve(f"file://{tmp_path}/a", rules=rules).root == tmp_path / "a"
