"""`s3://` Sources through the real driver, against a server on loopback that speaks S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.resolve import at_hand, resolve
from adapter_runtime.sources.rules import SourceRules

s3fs = pytest.importorskip("s3fs")
URL = "s3://adapters/spam"
WEIGHTS = bytes(range(256)) * 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system on one bucket with an adapter in it, as the driver's environment names it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("adapters")
    system.pipe(f"{URL}/adapter_config.json", b"{}")
    system.pipe(f"{URL}/pytorch_adapter.bin", WEIGHTS)
    system.pipe(f"{URL}/README.md", b"words")
    yield system
    system.rm("adapters", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def rules(tmp_path: Path) -> SourceRules:
    """Copies go to a folder of the test."""
    return SourceRules(cache_dir=str(tmp_path / "copies"))


def test_a_folder_in_a_bucket_is_copied(bucket: Any, rules: SourceRules) -> None:
    """Only what is read, whole, and once."""
    folder = resolve(URL, rules=rules)
    assert folder.path("pytorch_adapter.bin").read_bytes() == WEIGHTS
    assert not folder.has("README.md")
    assert resolve(URL, rules=rules).root == folder.root


def test_a_change_in_the_bucket_is_seen(bucket: Any, rules: SourceRules) -> None:
    """The driver's own cache of listings does not hide it."""
    before = resolve(URL, rules=rules).fingerprint()
    bucket.pipe(f"{URL}/adapter_config.json", b"[]")
    after = resolve(URL, rules=rules)
    assert after.read_json("adapter_config.json") == []
    assert after.fingerprint() != before


@pytest.mark.parametrize("url", ("s3://adapters/none", "s3://no-such-bucket/a"))
def test_what_is_not_there_is_named(bucket: Any, rules: SourceRules, url: str) -> None:
    """A missing folder, a missing bucket."""
    with pytest.raises(SourceError, match=f"^{url}: there is no such folder"):
        resolve(url, rules=rules)


def test_a_process_killed_while_it_copies_does_no_harm(
    bucket: Any, rules: SourceRules, tmp_path: Path
) -> None:
    """Its half of a copy is not trusted; the next try is whole."""
    code = (
        "import time, adapter_runtime.sources.stores as stores\n"
        "copy = stores._copy\n"
        "def slow(*given): copy(*given); time.sleep(60)\n"
        "stores._copy = slow\n"
        "from adapter_runtime.sources.resolve import resolve\n"
        "from adapter_runtime.sources.rules import SourceRules\n"
        f"resolve({URL!r}, rules=SourceRules(cache_dir={rules.cache_dir!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ)) as process:
        while not list(rules.cache().rglob("adapter_config.json")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert at_hand(URL, rules) is None
    assert resolve(URL, rules=rules).path("pytorch_adapter.bin").read_bytes() == WEIGHTS
