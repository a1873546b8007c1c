"""What is left when writers are killed, crowd each other, or find the disk full."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.catalog.directory import DirectoryStore
from serving.catalog.locks import LOCK
from serving.catalog.plans import TaskPlan
from serving.errors import CatalogReadOnly, TaskFileError
from tests.catalog.writer import LABELS, counted
from tests.running import ROOT

KILLS = 8


def start(folder: Path, name: str, rounds: int, *more: str) -> subprocess.Popen[str]:
    """A writer that has begun."""
    command = [sys.executable, "-m", "tests.catalog.writer", str(folder), name, str(rounds), *more]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def count_of(plan: TaskPlan) -> int:
    """How often it was changed; also holds the file to be a complete one."""
    spec = plan.versions[0].spec
    assert spec.labels == tuple(LABELS)
    assert [each.inputs for each in spec.examples] == [f"{spec.limits.max_tokens}"]
    return spec.limits.max_tokens or 0


def test_killed_writer_leaves_a_complete_file(tmp_path: Path) -> None:
    """At whatever instruction; what was written before is never lost, and writing goes on."""
    store, chance, count = DirectoryStore(tmp_path), random.Random(4), 1
    store.change("t", lambda entry: counted(entry, "t"))
    for _ in range(KILLS):
        with start(tmp_path, "t", 0) as process:
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
        found = store.read()
        assert not found.broken
        assert count_of(found.plans[0]) >= count
        count = count_of(found.plans[0])
    after = store.change("t", lambda entry: counted(entry, "t"))
    assert after is not None
    assert count_of(after) == count + 1
    assert {path.name for path in tmp_path.iterdir()} == {"t.yaml", LOCK}


def test_death_at_any_line_leaves_the_old_task_or_the_new_one(tmp_path: Path) -> None:
    """Every line that a change runs in the store, in a process of its own each."""
    command = [sys.executable, "-m", "tests.catalog.dying", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert ended.stderr == ""
    lines, count = map(int, ended.stdout.split())
    assert lines > 60
    assert 1 < count < lines
    assert {path.name for path in tmp_path.iterdir()} == {"t.yaml", LOCK}


@pytest.mark.parametrize("names", (("t", "t", "t"), ("t", "u", "v")))
def test_processes_that_change_at_the_same_time_lose_nothing(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    """The same task, or each its own."""
    processes = [start(tmp_path, name, 6) for name in names]
    for process in processes:
        with process:
            assert process.communicate()[1] == ""
        assert process.returncode == 0
    counts = {plan.name: count_of(plan) for plan in DirectoryStore(tmp_path).read().plans}
    assert counts == {name: 6 * names.count(name) for name in names}


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A file that may not grow so large fails in the middle of the write."""
    store = DirectoryStore(tmp_path)
    before = store.change("t", lambda entry: {"name": "t", "limits": {"max_tokens": 1}})
    with start(tmp_path, "t", 1, "20000") as process:
        assert "nothing has changed" in process.communicate()[1]
    assert store.read().plans == (before,)
    assert {path.name for path in tmp_path.iterdir()} == {"t.yaml", LOCK}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 KiB."""
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs rights that this process does not have")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root mounts")
def test_full_file_system_is_named_with_its_remedy(tmp_path: Path) -> None:
    """And freed space is all that it takes to go on."""
    with small_disk(tmp_path):
        store = DirectoryStore(tmp_path)
        before = store.change("t", lambda entry: {"name": "t"})
        (tmp_path / "ballast").write_bytes(b"x" * 40_000)
        with pytest.raises(TaskFileError, match="free some space"):
            store.change("t", lambda entry: counted({"limits": {"max_tokens": 0}}, "t"))
        assert store.read().plans == (before,)
        (tmp_path / "ballast").unlink()
        assert store.change("t", lambda entry: counted({"limits": {"max_tokens": 0}}, "t"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root mounts")
def test_catalog_that_is_mounted_read_only_is_read_and_not_written(tmp_path: Path) -> None:
    """It says so before anything is tried."""
    with small_disk(tmp_path):
        store = DirectoryStore(tmp_path)
        before = store.change("t", lambda entry: {"name": "t"})
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
        assert not store.is_writable
        assert store.read().plans == (before,)
        with pytest.raises(CatalogReadOnly, match="mount it writable"):
            store.change("t", lambda entry: None)


def test_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    """The kernel lets go of it, also for one that stood still."""
    with start(tmp_path, "t", 0) as process:
        process.send_signal(signal.SIGSTOP)
        process.kill()
    assert DirectoryStore(tmp_path, lock_s=1).change("u", lambda entry: {"name": "u"})
