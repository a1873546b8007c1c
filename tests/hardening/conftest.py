"""Servers with little patience and little room, so that tests are short."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.hardening.raw import Site
from tests.running import ROOT, settings

HEADER_S, TRANSFER_S, PACE = 1.0, 1.0, 32 << 10
HELD_BYTES, HEADER_BYTES, BODY_BYTES = 8 << 20, 8 << 10, 2 << 20
STRICT = {
    "HEADER_TIMEOUT_S": HEADER_S,
    "TRANSFER_TIMEOUT_S": TRANSFER_S,
    "MIN_BYTES_PER_S": PACE,
    "MAX_HELD_BYTES": HELD_BYTES,
    "MAX_HEADER_BYTES": HEADER_BYTES,
    "MAX_BODY_BYTES": BODY_BYTES,
}


@contextmanager
def serving(run_s: float = 0.0, **given: float | str) -> Iterator[Site]:
    """A server with a fake engine on a free port.

    Args:
        run_s: how long a forward takes, in seconds.
        given: its settings.
    """
    variables = {f"POLYHEAD_{name}": str(value) for name, value in {**STRICT, **given}.items()}
    command = [sys.executable, "-m", "tests.serving.fake_server", str(run_s), "0"]
    with NamedTemporaryFile("w", suffix=".log") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=settings() | variables,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        try:
            found = re.search(r"https?://127.0.0.1:(\d+)", process.stdout.readline())
            assert found, Path(log.name).read_text()
            yield Site(int(found[1]), process.pid, Path(log.name))
            assert process.poll() is None
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The server that most tests attack."""
    with serving() as running:
        yield running
        assert running.is_well
        assert "Traceback" not in running.log.read_text()
