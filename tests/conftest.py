"""What every test runs under: no network, no thread fights, no leftovers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT, Running, running_server

# Set before torch and the hub's client are imported, because they read them then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


_TOGETHER = ("ray", "container", "commands", "faults", "hardening", "ui")
"""Folders whose tests share what is slow to start, so that one process runs them all."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the names in its own hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what one process runs when there are several; what takes longest begins first."""
    tests = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(tests)
        name = place.parts[0] if place.parts[0] in _TOGETHER else str(place)
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.path.parent != tests / "ray" / "cluster")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo's server, started once for all tests that only ask it."""
    log = tmp_path_factory.mktemp("demo") / "server.log"
    with running_server(ROOT / "examples" / "tasks.yaml", log) as server:
        yield server
