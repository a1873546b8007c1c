"""A server over a FakeEngine in a process of its own, and commands beside it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.running import NO_VARIABLES, POLYHEAD, ROOT, settings

_PATIENCE_S = 30.0
_STOP_S = 10.0


@dataclass(frozen=True)
class Started:
    """It answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def started_server(folder: Path, variables: Mapping[str, str]) -> Iterator[Started]:
    """A server for the block.

    Args:
        folder: for its log.
        variables: of its environment.
    """
    log = folder / "log"
    command = [sys.executable, "-m", "tests.serving.fake_server", "0.002", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env={**settings(), **variables}
        )
    try:
        yield Started(_address(log, process), process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_S)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where it listens, as it says itself."""
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s and process.poll() is None:
        if "Stop: Ctrl-C" in log.read_text():
            return re.findall(r"https?://127.0.0.1:\d+", log.read_text())[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def polyhead(
    *words: str, typed: str | None = None, variables: Mapping[str, str] = NO_VARIABLES
) -> subprocess.CompletedProcess[str]:
    """A command on pipes, as a user runs it; no traceback ever."""
    done = subprocess.run(
        [str(POLYHEAD), *words],
        input=typed,
        stdin=None if typed is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**settings(), **variables},
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done
