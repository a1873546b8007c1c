"""A real Prometheus on a real server: every rule is evaluated, every panel shows something."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.canary import roll_back_bad_canary
from tests.faults.site import SENTIMENT, Site, site, until
from tests.monitoring.files import RECORDED, Query, queries
from tests.monitoring.guide import blocks, text
from tests.monitoring.scraping import Prometheus, prometheus

SCRAPED_S = 3.0
NEVER = {
    *("PolyheadAbsent", "PolyheadDown", "PolyheadNoneReady", "PolyheadNotReady"),
    *("PolyheadRestarts", "PolyheadDeviceFailed", "PolyheadReplicasLost", "PolyheadMixedReleases"),
    *("PolyheadQuarantined", "PolyheadReloadFailed", "PolyheadLoadsFailing"),
    "PolyheadKeysBroken",
}
"""What does not happen here, however slow the machine is."""
SILENT = {"polyhead:device_failures:new30m", "polyhead:device_refusals:new30m"} | {
    f"polyhead:{name}:new30m"
    for name in ("quarantines", "reloads_failed", "loads_failed", "retries")
}
"""Recorded series of events that do not happen here."""
MISSING = "prometheus is missing, which only root can install (Debian: apt-get install prometheus)"
pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason=MISSING),
    pytest.mark.timeout(240),
]


class Watched(NamedTuple):
    """A server and who watches it."""

    server: Site
    by: Prometheus
    place: Path

    def shell(self, script: str) -> str:
        """What a script of the guide prints; fails where one of its commands does."""
        variables = {
            "PATH": os.environ["PATH"],
            "POLYHEAD_URL": str(self.server.client.base_url).rstrip("/"),
            "CATALOG": str(self.place / "tasks"),
            "BACKUP": str(self.place / "backup.tgz"),
        }
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)
        assert done.returncode == 0, script + done.stderr
        return done.stdout

    def unanswered(self) -> list[Query]:
        """The dashboard's queries that no number answers."""
        return [query for query in queries() if not self._numbers(query)]

    def _numbers(self, query: Query) -> list[float]:
        values = [float(each["value"][1]) for each in self.by.ask(query.expression)]
        return [value for value in values if math.isfinite(value)]


def stir(server: Site) -> None:
    """An answer, a request that is too late, and weights that leave and come back."""
    server.ask("mood")
    server.ask("mood", headers={"x-deadline-ms": "1"})
    server.act("mood", "1", "evict")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server under traffic, whose canary was rolled back and whose bad version was refused."""
    place = tmp_path_factory.mktemp("watched")
    (place / "tasks").mkdir()
    with (
        site(place / "tasks", place) as server,
        prometheus(server.client.base_url.netloc.decode(), place) as by,
    ):
        server.make("mood", "1")
        roll_back_bad_canary(server, "canary", Path(SENTIMENT))
        server.put("broken", adapter=str(place), id="1")
        server.put("mood", adapter=SENTIMENT, id="2", shadow=True, labels=["no", "yes"])
        server.ask("nobody")
        until_s = time.monotonic() + SCRAPED_S
        while time.monotonic() < until_s:
            stir(server)
        until(by.has_evaluated, by.rules)
        yield Watched(server, by, place)


def test_every_panel_shows_something(watched: Watched) -> None:
    """Every query has an answer with a number."""

    def is_answered() -> bool:
        stir(watched.server)  # what was counted before the first scrape has no rate
        return not watched.unanswered()

    until(is_answered, watched.unanswered)
    assert watched.unanswered() == []


def test_every_rule_is_evaluated(watched: Watched) -> None:
    """None fails, and each that records rates has something to record."""
    found = watched.by.rules()
    assert [rule for rule in found if rule["health"] != "ok"] == []
    until(lambda: {name for name in RECORDED if not watched.by.ask(name)} <= SILENT)
    assert {name for name in RECORDED if watched.by.ask(name)} >= set(RECORDED) - SILENT


def test_only_what_has_happened_is_told(watched: Watched) -> None:
    """A rollback, a refused version, late requests; nothing of a server that is well."""
    active = {each["metric"]["alertname"] for each in watched.by.ask("ALERTS")}
    assert active & NEVER == set()
    until(lambda: "PolyheadRolledBack" in str(watched.by.ask("ALERTS")))


def test_server_tells_of_itself(watched: Watched) -> None:
    """Ready, since when, and which release."""
    (ready,) = watched.by.ask("polyhead_ready")
    (info,) = watched.by.ask("polyhead_info")
    (age_s,) = watched.by.ask("time() - polyhead_start_time_seconds")
    assert ready["value"][1] == "1"
    assert info["metric"]["release"] == version("polyhead")
    assert 0 < float(age_s["value"][1]) < 600


def test_guide_finds_what_it_looks_for(watched: Watched) -> None:
    """Every look at the metrics prints something."""
    looks = re.findall(r"^curl .*/metrics \| grep .*$", text(), flags=re.M)
    assert len(looks) > 8
    assert [look for look in looks if not watched.shell(look)] == []


def test_guide_brings_a_catalog_back(watched: Watched) -> None:
    """Its own commands, while the server runs; a task made later stays."""
    backup, restore = blocks("Backup of the catalog")[:2]
    before = watched.server.show("mood")["versions"]
    watched.shell(backup)
    assert watched.server.client.delete("/tasks/mood").status_code == 204
    watched.server.make("later", "1")
    assert watched.server.ask("mood").status_code == 404
    watched.shell(restore)
    until(lambda: watched.server.ask("mood").status_code == 200)
    assert [each["id"] for each in watched.server.show("mood")["versions"]] == [
        each["id"] for each in before
    ]
    assert watched.server.ask("later").status_code == 200
    assert [path.name for path in (watched.place / "tasks").glob(".*")] == [".polyhead.lock"]
