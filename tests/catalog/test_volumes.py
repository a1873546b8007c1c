"""A catalog whose volume comes and goes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from serving.errors import TaskFileError
from tests.catalog.test_directory import store_of


def test_volume_that_went_away_is_no_empty_catalog(tmp_path: Path) -> None:
    """An unmounted folder lies empty on another device; a folder that was emptied does not."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second volume")
    here, link = tmp_path / "here", tmp_path / "link"
    here.mkdir()
    link.symlink_to(here)
    store = store_of(link, t="adapter: ./a")
    assert [plan.name for plan in store.read().plans] == ["t"]
    with TemporaryDirectory(dir=shm) as empty:
        link.unlink()
        link.symlink_to(empty)
        with pytest.raises(TaskFileError, match="another volume than before"):
            store.read()
    link.unlink()
    link.symlink_to(here)
    assert [plan.name for plan in store.read().plans] == ["t"]
    (here / "t.yaml").unlink()
    assert store.read().plans == ()
