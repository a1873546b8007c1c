"""Local and packaged Sources, and how Sources are written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.folder import Folder
from adapter_runtime.sources.resolve import absolute, at_hand, resolve


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    """A folder with one small adapter folder in it."""
    folder = tmp_path / "adapters" / "spam"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 8}')
    return tmp_path / "adapters"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that fails when it is imported."""
    folder = tmp_path / "site" / "explosive" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


class TestLocal:
    @pytest.mark.parametrize("source", ("spam", "./spam", "../adapters/spam"))
    def test_relative_paths_start_at_the_base(self, adapters: Path, source: str) -> None:
        """A task file's paths are relative to the file."""
        assert {"r": 8} == resolve(source, adapters).read_json("adapter_config.json")

    def test_absolute_paths_ignore_the_base(self, adapters: Path, tmp_path: Path) -> None:
        """Operators may keep adapters anywhere."""
        assert adapters / "spam" == resolve(str(adapters / "spam"), tmp_path).root

    def test_a_missing_folder_is_named(self, adapters: Path) -> None:
        """The error shows the Source as it was written."""
        with pytest.raises(SourceError, match=r"^\./ham: there is no such folder"):
            resolve("./ham", adapters)

    def test_a_base_leaves_no_room_for_hub_names(self, adapters: Path) -> None:
        """In a task file a bare name is a path, never a download."""
        with pytest.raises(SourceError, match="no such folder"):
            resolve("org/name", adapters)

    @pytest.mark.parametrize(
        "source", ("", "a\0b", "a\ud800", "hf://o/n@\ud800", "nosuch://bucket/x", "HF://org/name")
    )
    def test_what_is_no_source_is_refused(self, source: str) -> None:
        """Unknown schemes and empty texts say what may be written."""
        with pytest.raises(SourceError, match=r"hf://"):
            resolve(source)

    @pytest.mark.parametrize("source", ("a" * 5000, "a/" * 3000, "/dev/null/x", "/dev/null"))
    def test_paths_that_cannot_be_are_named(self, adapters: Path, source: str) -> None:
        """The system has errors of its own for some."""
        with pytest.raises(SourceError, match=r"check the path|no such folder"):
            resolve(source, adapters)
        with pytest.raises(SourceError):
            resolve(absolute(source, adapters))


class TestPackage:
    def test_files_are_found_without_importing_the_package(self, package: Path) -> None:
        """Looking for a folder runs none of the package's code."""
        assert package == resolve("pkg://explosive/model").root

    def test_a_package_that_is_not_installed_is_named(self) -> None:
        """The remedy is to install it."""
        with pytest.raises(SourceError, match=r"no_such_package is not installed.*pip"):
            resolve("pkg://no_such_package/model")

    def test_a_folder_that_the_package_lacks_is_refused(self, package: Path) -> None:
        """A missing sub-folder is an error like any missing folder."""
        with pytest.raises(SourceError, match="no such folder"):
            resolve("pkg://explosive/weights")

    @pytest.mark.parametrize(
        "rest", ("", "explosive/../..", "explosive/a\\b", "a.b/c", "../x", "1a/b", "explosive/\0")
    )
    def test_nothing_outside_the_package_is_reached(self, package: Path, rest: str) -> None:
        """Dotted names would import, `..` would escape."""
        with pytest.raises(SourceError):
            resolve(f"pkg://{rest}")


class TestAbsolute:
    @pytest.mark.parametrize(
        ("source", "expected"),
        (
            ("./a", "/base/a"),
            ("a/b", "/base/a/b"),
            ("/a", "/a"),
            ("hf://org/name@v1", "hf://org/name@v1"),
            ("pkg://module/a", "pkg://module/a"),
        ),
    )
    def test_only_relative_paths_change(self, source: str, expected: str) -> None:
        """URLs and absolute paths stay as they are."""
        assert expected == absolute(source, Path("/base"))


class TestFolder:
    @pytest.mark.parametrize("name", ("../secret", "/etc/passwd", "a/../../secret", "a\0"))
    def test_paths_stay_inside(self, adapters: Path, name: str) -> None:
        """A name taken from a checkpoint's own files cannot lead out of its folder."""
        (adapters / "secret").write_text("")
        with pytest.raises(SourceError, match="outside"):
            Folder(adapters / "spam", "spam").path(name)

    def test_a_link_may_not_lead_out_of_the_folder(self, adapters: Path, tmp_path: Path) -> None:
        """A checkpoint that names another user's file by a link is refused."""
        (tmp_path / "secret.json").write_text("{}")
        (adapters / "spam" / "linked.json").symlink_to(tmp_path / "secret.json")
        with pytest.raises(SourceError, match="link that leads out"):
            Folder(adapters / "spam", "spam").path("linked.json")

    def test_a_link_inside_the_folder_is_followed(self, adapters: Path) -> None:
        """Links between a checkpoint's own files are harmless."""
        (adapters / "spam" / "linked.json").symlink_to("adapter_config.json")
        assert {"r": 8} == Folder(adapters / "spam", "spam").read_json("linked.json")

    def test_a_hub_caches_own_links_are_followed(self, tmp_path: Path) -> None:
        """Snapshots consist of links to blobs beside them."""
        blobs, snapshot = tmp_path / "repo" / "blobs", tmp_path / "repo" / "snapshots" / "abc"
        blobs.mkdir(parents=True)
        (snapshot / "sub").mkdir(parents=True)
        (blobs / "123").write_text("[1]")
        (snapshot / "sub" / "config.json").symlink_to("../../../blobs/123")
        assert [1] == Folder(snapshot / "sub", "org/repo/sub").read_json("config.json")

    def test_a_file_over_the_limit_is_refused(self, adapters: Path) -> None:
        """The size is checked before anything is read."""
        with pytest.raises(SourceError, match="the limit is 4"):
            Folder(adapters / "spam", "spam", max_file_bytes=4).path("adapter_config.json")

    @pytest.mark.parametrize("content", (b"{", b"\xff\xfe", b'{"a": 1'))
    def test_what_is_not_json_is_refused(self, adapters: Path, content: bytes) -> None:
        """The error names the file, not the parser."""
        (adapters / "spam" / "head_config.json").write_bytes(content)
        with pytest.raises(SourceError, match=r"head_config.json is not valid JSON"):
            Folder(adapters / "spam", "spam").read_json("head_config.json")

    def test_the_digest_follows_names_and_content(self, adapters: Path) -> None:
        """The same files give the same digest, any change another."""
        folder = Folder(adapters / "spam", "spam")
        before = folder.digest(["adapter_config.json", "missing.json"])
        assert before == folder.digest(["missing.json", "adapter_config.json"])
        (folder.root / "adapter_config.json").write_text('{"r": 9}')
        assert before != folder.digest(["adapter_config.json"])


class TestStamp:
    def test_equal_stamps_mean_unchanged_files(self, adapters: Path) -> None:
        """Changed, replaced and new files are seen without reading any."""
        folder = Folder(adapters / "spam", "spam")
        config = folder.root / "adapter_config.json"
        stamps = [folder.stamp()]
        os.utime(config, ns=(1, 1))
        stamps.append(folder.stamp())
        (folder.root / "new.tmp").write_text('{"r": 9}')
        assert folder.stamp() == stamps[-1]
        os.utime(folder.root / "new.tmp", ns=(1, 1))
        (folder.root / "new.tmp").replace(config)
        stamps.append(folder.stamp())
        (folder.root / "pytorch_adapter.bin").write_bytes(b"")
        stamps.append(folder.stamp())
        assert len(set(stamps)) == 4

    def test_a_folder_that_is_gone_says_so(self, adapters: Path) -> None:
        """For the stamp and the fingerprint."""
        folder = Folder(adapters / "spam", "spam")
        folder.root.joinpath("adapter_config.json").unlink()
        folder.root.rmdir()
        for ask in (folder.stamp, folder.fingerprint):
            with pytest.raises(SourceError, match=r"^spam: its files cannot be read"):
                ask()

    def test_the_fingerprint_follows_what_is_read(self, adapters: Path, tmp_path: Path) -> None:
        """Names and contents of those files, wherever they lie."""
        folder = Folder(adapters / "spam", "spam")
        before = folder.fingerprint()
        (folder.root / "README.md").write_text("words")
        shutil.copytree(folder.root, tmp_path / "copy")
        assert before == folder.fingerprint() == Folder(tmp_path / "copy", "x").fingerprint()
        (folder.root / "adapter_config.json").rename(folder.root / "adapter_other.json")
        assert before != folder.fingerprint()
        assert len(before) == 64


def test_a_store_that_repositories_share_is_followed(tmp_path: Path) -> None:
    """The hub's client links a repository's blobs to those that all repositories share."""
    shared = tmp_path / "blobs" / "ab"
    repository = tmp_path / "models--org--name"
    for folder in (shared, repository / "blobs", repository / "snapshots" / "abc"):
        folder.mkdir(parents=True)
    (shared / "abcd").write_text("[1]")
    (repository / "blobs" / "123").symlink_to("../../blobs/ab/abcd")
    (repository / "snapshots" / "abc" / "config.json").symlink_to("../../blobs/123")
    assert [1] == Folder(repository / "snapshots" / "abc", "org/name").read_json("config.json")


def test_at_hand_gives_folders_and_packages(adapters: Path, package: Path) -> None:
    """What needs no network is there, or is missing for good."""
    found = at_hand(str(adapters / "spam"))
    assert found
    assert found.root == adapters / "spam"
    assert at_hand("pkg://explosive/model")
    for source in (str(adapters / "ham"), "pkg://explosive/weights"):
        with pytest.raises(SourceError, match="no such folder"):
            at_hand(source)


def test_local_sources_load_no_http_client() -> None:
    """A local or packaged Source does not pay for the hub's client."""
    code = (
        "import sys; from adapter_runtime.sources.resolve import resolve; resolve('.');"
        "print(sorted({'huggingface_hub', 'httpx2', 'torch'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "[]\n" == output.stdout
