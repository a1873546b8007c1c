"""A catalog in a bucket, through the real driver, against a server on loopback that speaks S3."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from serving.catalog.files import open_store
from serving.catalog.objects import Objects
from serving.catalog.remote import RemoteStore
from serving.catalog.store import CatalogStore
from serving.catalog.text import etag_of
from serving.errors import VersionConflict
from tests.running import ROOT

s3fs = pytest.importorskip("s3fs")
URL = "s3://catalog/tasks"
COUNTER = f"""
from serving.catalog.objects import Objects
from serving.catalog.remote import RemoteStore

def count(entry):
    before = entry["limits"]["max_tokens"] if entry else 0
    return {{"name": "t", "limits": {{"max_tokens": before + 1}}}}

store = RemoteStore("{URL}", Objects("{URL}"), stale_s=1)
print("started", flush=True)
for _ in range(ROUNDS):
    store.change("t", count)
"""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogStore]:
    """The catalog in an empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("catalog")
    yield open_store(URL, 0.05)
    s3fs.S3FileSystem().rm("catalog", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def count_of(store: CatalogStore) -> int:
    """How often the task was changed."""
    return store.read().plans[0].versions[0].spec.limits.max_tokens or 0


def start(rounds: int) -> subprocess.Popen[Any]:
    """A process that counts, and has begun."""
    code = COUNTER.replace("ROUNDS", str(rounds))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    return process


def test_task_is_made_guarded_and_deleted(store: CatalogStore) -> None:
    """In a folder that no object is in yet, as object stores have it."""
    assert store.read().plans == ()
    made = store.change("t", lambda _: {"name": "t", "adapter": "./a"})
    assert made is not None
    assert open_store(URL).read().plans == (made,)
    with pytest.raises(VersionConflict):
        store.change("t", lambda _: {"name": "t"}, "-")
    assert store.change("t", lambda _: None, made.etag) is None
    assert open_store(URL).read().plans == ()


def test_object_is_made_by_one_of_two(store: CatalogStore) -> None:
    """In one step: the bucket itself refuses the second."""
    objects = Objects(URL)
    assert [objects.create(f"{objects.root}/x", data) for data in (b"1", b"2")] == [True, False]
    assert objects.read(f"{objects.root}/x") == b"1"


def test_object_is_swapped_for_what_was_read_only(
    store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one step: what somebody puts after the last look is not overwritten either."""
    objects = Objects(URL)
    path = f"{objects.root}/x"
    objects.create(path, b"1")
    assert objects.swap(path, etag_of(b"1"), b"2")
    assert not objects.swap(path, etag_of(b"1"), b"3")
    read = objects.read

    def overtaken(path: str) -> bytes:
        found = read(path)
        s3fs.S3FileSystem().pipe_file(path, b"theirs")
        return found

    monkeypatch.setattr(objects, "read", overtaken)
    assert not objects.swap(path, etag_of(b"2"), b"3")
    assert read(path) == b"theirs"


def test_processes_take_turns(store: CatalogStore) -> None:
    """No change is lost."""
    processes = [start(4) for _ in range(2)]
    for process in processes:
        with process:
            assert process.wait() == 0
    assert count_of(store) == 8


def test_killed_writer_leaves_a_whole_object_and_a_lock_that_is_broken(
    store: CatalogStore,
) -> None:
    """The next one goes on from it."""
    with start(10_000) as process:
        try:
            while not store.read().plans:
                time.sleep(0.01)
        finally:
            process.kill()
    count = count_of(store)
    quick = RemoteStore(URL, Objects(URL), stale_s=0.3)
    assert quick.change("t", lambda entry: {**(entry or {}), "pinned": True})
    assert count_of(store) == count
