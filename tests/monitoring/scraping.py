"""A real Prometheus that scrapes a server every second, with our rules."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.monitoring.files import write_rules
from tests.running import free_port

START_S = 20.0


class Prometheus:
    """Asks a running Prometheus.

    Args:
        client: of its address.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """All rules as they were last evaluated."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def has_evaluated(self) -> bool:
        """Whether every rule has been, at least once."""
        found = self.rules()
        return bool(found) and all(rule["health"] != "unknown" for rule in found)


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus on loopback for the block.

    Args:
        target: host and port of the server.
        folder: for its files.
    """
    content = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(write_rules(folder))],
        "scrape_configs": [{"job_name": "polyhead", "static_configs": [{"targets": [target]}]}],
    }
    path, address = folder / "prometheus.yaml", f"127.0.0.1:{free_port()}"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    command = ["prometheus", f"--config.file={path}", f"--web.listen-address={address}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=10) as client:
            _wait_until_ready(client, folder / "prometheus.log")
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-4000:])
