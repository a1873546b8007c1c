"""A folder of task files and its life over an engine that names versions by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.folder_life import FolderLife, HashEngine


@pytest.fixture
def engine() -> HashEngine:
    return HashEngine()


@pytest.fixture
def start(tmp_path: Path, engine: HashEngine) -> Iterator[Callable[..., FolderLife]]:
    """Callable[..., FolderLife]s processes, so to speak, on one folder."""
    started: list[FolderLife] = []

    def begin(folder: Path = tmp_path, **settings: Any) -> FolderLife:
        started.append(FolderLife(folder, engine, **settings))
        return started[-1]

    yield begin
    for life in started:
        life.close()


@pytest.fixture
def life(start: Callable[..., FolderLife]) -> FolderLife:
    return start()


@pytest.fixture
def three(life: FolderLife) -> FolderLife:
    """A task of three good versions, the newest answering."""
    for id in ("1", "2", "3"):
        life.put("topic", adapter=f"/a/topic@{id}", id=id)
        life.until_answered_by("topic", id)
    return life
