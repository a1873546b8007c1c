"""Servers with little patience and little room, so that tests are short."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
def serving(run_s: float = 0.0, **given: float) -> Iterator[Site]:
    """A server with a fake engine on a free port.

    Args:
        run_s: how long a forward takes, in seconds.
        given: its settings.
    """
    variables = {f"POLYHEAD_{name}": str(value) for name, value in {**STRICT, **given}.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.fake_server", str(run_s), "0"],
        cwd=ROOT,
        env=settings() | variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline())
        assert found, process.poll()
        yield Site(int(found[1]), process.pid)
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
