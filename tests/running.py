"""A server in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
POLYHEAD = Path(sys.executable).with_name("polyhead")
START_S = 90.0
STOP_S = 30.0
EXACT: Mapping[str, str] = MappingProxyType({"POLYHEAD_DTYPE": "float32"})
"""Answers are held against the libraries' numbers; a server's own choice may have fewer digits."""
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Running(NamedTuple):
    """A server that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_server(
    tasks: Path,
    log: Path,
    options: Sequence[str] = (),
    variables: Mapping[str, str] = NO_VARIABLES,
    through: Sequence[str] = (),
    start_s: float = START_S,
) -> Iterator[Running]:
    """`polyhead serve` on a free port for the block, stopped by SIGTERM after it.

    Args:
        tasks: the task file or folder.
        log: where its output goes; shown when it does not get ready.
        options: further command-line options.
        variables: of its environment; what it remembers lies beside its log by default.
        through: a command that starts the server's own, such as one that limits it.
        start_s: how long it may take until it is ready, in seconds.
    """
    port = free_port()
    environment = {**settings(), "POLYHEAD_STATE_DIR": str(log.parent / "state"), **EXACT}
    environment |= variables
    command = [*through, str(POLYHEAD), "serve", "--tasks", str(tasks)]
    command += ["--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
    try:
        server = Running(f"http://127.0.0.1:{port}", process)
        wait_until_ready(server, log, start_s)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def settings() -> dict[str, str]:
    """The environment without settings that a developer's shell may hold."""
    return {key: value for key, value in os.environ.items() if not key.startswith("POLYHEAD_")}


def wait_until_ready(server: Running, log: Path, start_s: float = START_S) -> None:
    """Return when `/health/ready` says yes; fail with the server's log otherwise."""
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(
        f"The server did not get ready:\n{log.read_text(errors='replace')[-4000:]}"
    )
