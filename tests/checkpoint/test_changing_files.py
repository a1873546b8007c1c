"""Files that somebody changes while they are read: an error or the old content, never the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapter_runtime.checkpoint import files
from adapter_runtime.errors import RejectedAdapter, SourceError
from adapter_runtime.sources.folder import Folder

NAMES = ("adapter.safetensors", "pytorch_adapter.bin")
TENSORS = {"a": torch.arange(100_000.0)}


def write(path: Path) -> None:
    save = save_file if path.suffix == ".safetensors" else torch.save
    save(TENSORS, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_while_it_is_parsed_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A mapped file would end the process with a signal."""
    write(tmp_path / name)
    for parse in ("load_safe", "check_pickle"):
        whole = getattr(files, parse)

        def cut(stored: bytes, whole: Any = whole) -> Any:
            os.truncate(tmp_path / name, 10)
            return whole(stored)

        monkeypatch.setattr(files, parse, cut)
    found = files.read_tensors(Folder(tmp_path, "here"), name)
    assert torch.equal(found["a"], TENSORS["a"])
    assert (tmp_path / name).stat().st_size == 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", (0, 1, 8, 60, 200_000))
def test_a_file_that_was_cut_short_is_damaged(tmp_path: Path, name: str, size: int) -> None:
    """It is named, with what to do."""
    write(tmp_path / name)
    os.truncate(tmp_path / name, size)
    with pytest.raises(RejectedAdapter, match="save it again"):
        files.read_tensors(Folder(tmp_path, "here"), name)


def test_a_file_that_grows_while_it_is_read_is_held_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size was fine when it was looked at."""
    path = tmp_path / "adapter.safetensors"
    write(path)
    folder = Folder(tmp_path, "here", path.stat().st_size)
    checked = folder.path

    def grow(name: str) -> Path:
        found = checked(name)
        found.write_bytes(b"x" * 1_000_000)
        return found

    monkeypatch.setattr(folder, "path", grow)
    with pytest.raises(SourceError, match="raise max_file_bytes"):
        files.read_tensors(folder, path.name)


def test_a_file_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at it and the reading."""
    folder = Folder(tmp_path, "here")
    monkeypatch.setattr(folder, "path", lambda name: tmp_path / name)
    with pytest.raises(SourceError, match="cannot be read"):
        files.read_tensors(folder, "adapter.safetensors")
