"""One Ray cluster of several nodes for all tests here, and an application on it by turns."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.ray_cluster import RayCluster, Replica, application, ray_cluster
from benchmarks.server import BACKBONE
from benchmarks.steady import Heard, asking
from serving.errors import Refusal
from serving.service import Call
from tests.faults import site
from tests.faults.site import Site
from tests.running import ROOT, Running

TASKS = ("sentiment", "intent")
CLIENTS = 4
until = partial(site.until, seconds=240.0)
"""Replicas start in some seconds; where other things run on the machine, in many."""
ADAPTERS = ROOT / "examples" / "adapters"


@dataclass
class Deployed:
    """An application on the cluster, and those who ask it.

    Args:
        cluster: runs it.
        options: that it is tested with.
        taken: that it runs with now.
        site: a client of the head's proxy.
    """

    cluster: RayCluster
    options: Mapping[str, Any]
    taken: Mapping[str, Any]
    site: Site

    @property
    def engines(self) -> str:
        """The deployment whose replicas compute."""
        return "Server" if self.options["topology"] == "whole" else "Replica"

    @property
    def num_running(self) -> int:
        """Replicas that compute."""
        return len(self.cluster.running(self.engines))

    @property
    def nodes(self) -> set[str]:
        """Where anything of it runs."""
        return {each.node for name in (self.engines, "Ingress") for each in self.on(name)}

    def on(self, deployment: str, node: str | None = None) -> Sequence[Replica]:
        """Replicas of a deployment, on one node or on all."""
        found = self.cluster.replicas(deployment)
        return [each for each in found if node in (None, each.node)]

    def samples(self, metric: str, **labels: str) -> Mapping[str, float]:
        """A metric in Ray's exporter by replica, where these labels are set."""
        text = "".join(self.cluster.metrics(node) for node in self.nodes)
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        found: dict[str, float] = {}
        for names, value in re.findall(rf"^ray_{metric}{{(.*)}} (\S+)$", text, re.MULTILINE):
            if all(each in names for each in wanted):
                replica = re.findall(r'replica="(\w+)"', names)[0]
                found[replica] = found.get(replica, 0.0) + float(value)
        return found

    def answers(self, task: str) -> set[str]:
        """The versions that engine replicas answer a task with, or why one of them does not."""
        call = Call(task, ["A good film."])
        told = self.cluster.ask_all(self.engines, "answer", call)
        assert len(told) == self.num_running
        return {each.code if isinstance(each, Refusal) else each.version for each in told}

    def take(self, **options: Any) -> None:
        """Have the application run with its options, and these: Ray replaces all replicas."""
        given = {**self.options, **options}
        if given != self.taken:
            old = [each.id for name in (self.engines, "Ingress") for each in self.on(name)]
            self.taken = given
            self.cluster.apply(application(given))
            self.cluster.wait_until_runs(without=old)

    @contextmanager
    def narrow(self) -> Iterator[None]:
        """Room for one request in each replica, and for one that waits, for the block."""
        limits = {"name": self.engines, "max_ongoing_requests": 1, "max_queued_requests": 1}
        self.cluster.deploy(application(self.taken, overrides=[limits]))
        try:
            yield
        finally:
            self.cluster.deploy(application(self.taken))

    def renew(self) -> None:
        """Roll an update out: a setting of the server changes."""
        settings = self.options["settings"]
        rows = settings.get("max_batch_rows", 256) + 1
        self.options = {**self.options, "settings": {**settings, "max_batch_rows": rows}}
        self.take()

    def leave(self, node: str) -> None:
        """Drain a node as before its machine is taken away, then take it away."""
        gone = [each.id for name in (self.engines, "Ingress") for each in self.on(name, node)]
        self.cluster.drain(node)
        self.cluster.wait_until_runs(without=gone)
        self.cluster.remove(node)

    def under_load(
        self, clients: int = CLIENTS, rest_s: float = 0.1
    ) -> AbstractContextManager[Heard]:
        """Clients for as long as the block lasts."""
        return asking([self.site.server.url], TASKS, clients, rest_s)


def crowd(app: Deployed) -> Heard:
    """What more clients hear than there is room for; afterwards there is room again."""
    with app.narrow(), app.under_load(clients=12, rest_s=0) as heard:
        until(lambda: heard.statuses[429] > 5 and heard.num_answered > 5, lambda: heard)
    until(lambda: is_open(app))  # proxies hear of options a little later
    return heard


def scale(app: Deployed, **options: Any) -> Heard:
    """What clients hear while one replica goes, where hardly anybody asks, and comes again."""
    number = {"min_replicas": 1, "initial_replicas": 2, "max_replicas": 2}
    app.take(**number, **options, upscale_delay_s=0, downscale_delay_s=3)
    with app.under_load(clients=1, rest_s=0.5) as few:
        until(lambda: app.num_running == 1)
    with app.under_load(clients=24, rest_s=0) as many:
        until(lambda: app.num_running == 2)
    many.failures += few.failures
    return many


def is_open(app: Deployed) -> bool:
    """Whether nobody is turned away."""
    with app.under_load(clients=12, rest_s=0) as heard:
        until(lambda: heard.statuses.total() > 50)
    return heard.num_lost == 0


@contextmanager
def deployed(cluster: RayCluster, options: Mapping[str, Any], topology: str) -> Iterator[Deployed]:
    """The application in a topology for the block."""
    given = {**options, "topology": topology}
    cluster.deploy(application(given))
    with httpx.Client(base_url=cluster.url, timeout=site.WAIT_S) as client:
        yield Deployed(cluster, given, given, Site(Running(cluster.url, None), client))


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """A head and two workers."""
    with ray_cluster(workers=2, cpus=2) as running:
        yield running


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the demo's tasks; the folder that all replicas share."""
    folder = tmp_path_factory.mktemp("catalog")
    for task in TASKS:
        adapter = shutil.copytree(ADAPTERS / task, tmp_path_factory.mktemp(task) / task)
        (folder / f"{task}.yaml").write_text(yaml.safe_dump({"adapter": str(adapter)}))
    return folder


@pytest.fixture(scope="session")
def options(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two replicas."""
    settings = {
        "tasks": str(catalog),
        "backbone": BACKBONE,
        "poll_s": 0.2,
        "state_dir": str(tmp_path_factory.mktemp("state")),
    }
    return {
        "settings": settings,
        "scale_on": "none",
        "min_replicas": 2,
        "max_replicas": 2,
        "num_cpus": 0.5,
        "drain_s": 10,
        "health_period_s": 1,
    }
