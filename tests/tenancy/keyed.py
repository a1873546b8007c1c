"""A server with keys in a process of its own, which tells everything that it can tell."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.running import ROOT, settings
from tests.tenancy.conftest import Keys

_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Keyed:
    """It answers at `url`, and at `admin_url` if it has one.

    Args:
        keys: of its file.
        log: what it has written.
    """

    url: str
    admin_url: str
    keys: Keys
    log: Path

    def ask(self, path: str, key: str = "", method: str = "GET", url: str = "") -> httpx.Response:
        """One request."""
        shown = {"x-api-key": self.keys.secrets[key]} if key else {}
        body = {"inputs": "a"} if method == "POST" else None
        return httpx.request(method, (url or self.url) + path, headers=shown, json=body, timeout=20)


@contextmanager
def keyed_server(folder: Path, keys: Keys, variables: Mapping[str, str]) -> Iterator[Keyed]:
    """A server with these keys for the block.

    Args:
        folder: for its log.
        keys: of the server.
        variables: of its environment.
    """
    environment = {**settings(), "POLYHEAD_KEYS": str(keys.path), **variables}
    command = [sys.executable, "-m", "tests.tenancy.keyed_server", "0", "0"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
    try:
        eventually(lambda: "Stop: Ctrl-C" in log.read_text() or process.poll() is not None)
        found = re.findall(r"http://127.0.0.1:\d+", log.read_text())
        urls = list(dict.fromkeys(found))
        assert urls, log.read_text()
        yield Keyed(urls[0], urls[1] if len(urls) > 1 else "", keys, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_S)


def eventually(is_so: Callable[[], bool]) -> None:
    """Return when it is so; fail when it does not become so."""
    until_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s, "It did not become so."
        time.sleep(0.02)
