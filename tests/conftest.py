"""What every test runs under: no network, no thread fights, no leftovers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer

from tests.running import ROOT, Running, running_server
from tests.sharing import ByFolder

# Set before torch and the hub's client are imported, because they read them then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    """What a test writes beside its own `tmp_path` goes when the run ends."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # those stay, as ever
    place = tempfile.TemporaryDirectory(prefix="polyhead-tests-", ignore_cleanup_errors=True)
    tempfile.tempdir = place.name
    config.add_cleanup(place.cleanup)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    """Say which tests one process runs, when there are several."""
    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    longest = Path(__file__).parent / "ray" / "cluster"
    items.sort(key=lambda item: longest not in item.path.parents)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo's server, started once for all tests that only ask it."""
    log = tmp_path_factory.mktemp("demo") / "server.log"
    with running_server(ROOT / "examples" / "tasks.yaml", log) as server:
        yield server
