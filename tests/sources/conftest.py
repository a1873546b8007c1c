"""Hubs on loopback for the real client, which read its environment when it was imported."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from huggingface_hub import close_session, constants

from adapter_runtime.sources.rules import SourceRules
from tests.hub import Hub, serve

ADAPTER = {
    "adapter_config.json": b"{}",
    "pytorch_adapter.bin": b"weights",
    "README.md": b"words",
    "training.log": b"noise",
}
WEIGHTS = bytes(range(256)) * 256
REPOSITORIES = {
    "org/adapter": ADAPTER,
    "org/large": {**ADAPTER, "pytorch_adapter.bin": WEIGHTS},
    "org/many": {f"{name}/{path}": data for name in "ab" for path, data in ADAPTER.items()},
    "org/both": {"config.json": b"{}", "model.safetensors": b"new", "pytorch_model.bin": b"old"},
    "org/old": {"config.json": b"{}", "pytorch_model.bin": b"old", "tf_model.h5": b"other"},
    "org/private": ADAPTER,
}


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Direct the hub's client."""
    files = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + files)
    monkeypatch.setattr(constants, "ENDPOINT", url)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's client."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running hub and an empty cache, as the client's settings name them; waits are short."""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.4)
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: pause(seconds / 20))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    described = Hub(
        REPOSITORIES,
        gated=frozenset({"org/gated"}),
        private=frozenset({"org/private"}),
        tokens={"hf_all": None, "hf_none": frozenset()},
    )
    with serve(described) as running:
        point_to(running.url, monkeypatch)
        yield running
    close_session()


FILES = {
    "adapter_config.json": b"{}",
    "pytorch_adapter.bin": b"weights",
    "README.md": b"words",
    "1_Pooling/config.json": b"[]",
    "notes/adapter_config.json": b"[]",
}
URL = "memory://bucket/adapters/spam"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """An empty store, and no pauses between tries."""
    monkeypatch.setattr("adapter_runtime.sources.stores._PAUSES", (0.0,))
    system = fsspec.filesystem("memory")
    system.store.clear()
    put(system)
    yield system
    system.store.clear()


@pytest.fixture
def rules(tmp_path: Path) -> SourceRules:
    """Copies go to a folder of the test."""
    return SourceRules(cache_dir=str(tmp_path / "copies"))


def put(system: Any, url: str = URL, files: dict[str, bytes] = FILES) -> None:
    for name, content in files.items():
        system.pipe(f"{url}/{name}", content)


@contextmanager
def no_room(most: int) -> Iterator[None]:
    """Limits how long a file may become, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        # Before the test ends, for the report of it may be written to a longer file.
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
