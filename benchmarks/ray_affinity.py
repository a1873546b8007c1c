"""Affine routing against Ray's own, with more tasks than one replica holds: what has to be loaded.

    python -m benchmarks.ray_affinity [--tasks 90] [--slots 40] [--replicas 3] [--json FILE]

Two applications on one cluster, alike but for the router, take turns. `loads` are those of weights
onto a replica's device, for each request; the tasks asked follow Zipf's law, or all alike with
--skew 0. Takes about four minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import yaml

from benchmarks.http_load import text
from benchmarks.ray_cluster import RayCluster, application, ray_cluster
from benchmarks.server import BACKBONE
from benchmarks.variants import write_variants

ROUTERS = ("affine", "power_of_two")
_FIGURES = ("loads_per_request", "p50_ms", "p99_ms", "requests_per_s", "num_errors")
_CALLS = 4000
_SETTLE_S = 3.0
"""Longer than Ray's exporter and the routers need to hear of what has changed."""


def calls(tasks: Sequence[str], skew: float, seed: int) -> list[tuple[str, str]]:
    """Tasks and texts of so many requests, in the order in which they are sent."""
    chance = random.Random(seed)
    weights = list(accumulate(1 / rank**skew for rank in range(1, len(tasks) + 1)))
    return [(chance.choices(tasks, cum_weights=weights)[0], text(chance)) for _ in range(_CALLS)]


def load(cluster: RayCluster, router: str, options: argparse.Namespace, seed: int) -> Any:
    """One round of clients on a router's application, in a process of its own."""
    place = urlsplit(cluster.url)
    job = {"host": place.hostname, "port": place.port, "prefix": f"/{router}"}
    job |= {"connections": options.connections, "seconds": options.seconds}
    job["calls"] = calls(names(options), options.skew, seed)
    command = [sys.executable, "-m", "benchmarks.http_client"]
    done = subprocess.run(
        command, input=json.dumps(job).encode(), stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def count_loads(cluster: RayCluster, router: str) -> float:
    """Loads onto devices so far, of all replicas of a router's application."""
    text = "".join(cluster.metrics(node) for node in cluster.workers)
    found = re.findall(r"^ray_polyhead_loads_total{(.*)} (\S+)$", text, re.MULTILINE)
    return sum(float(value) for names, value in found if f'application="{router}"' in names)


def round_of(
    cluster: RayCluster, router: str, options: argparse.Namespace, seed: int
) -> dict[str, float]:
    """One round's figures."""
    before = count_loads(cluster, router)
    found: dict[str, float] = load(cluster, router, options, seed)
    time.sleep(_SETTLE_S)
    loads = count_loads(cluster, router) - before
    return {**found, "loads_per_request": loads / found["num_requests"]}


def names(options: argparse.Namespace) -> list[str]:
    """The tasks, most asked first."""
    return [f"v{number}" for number in range(options.tasks)]


def stated(router: str, options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """The application of a router."""
    settings = {
        "tasks": str(place / "tasks"),
        "backbone": BACKBONE,
        "state_dir": str(place / router),
        "max_slots": options.slots,
        "host_bytes": options.host_mib << 20,
        "warm_tasks": 0,
        "log_level": "WARNING",
    }
    fixed = {"scale_on": "none", "num_cpus": 0.25, "topology": "affine"}
    number = {"min_replicas": options.replicas, "max_replicas": options.replicas}
    given = {**fixed, **number, "settings": settings, "router": router}
    return application(given, "benchmarks.ray_contenders:build", router, f"/{router}")


def measure(options: argparse.Namespace, place: Path) -> dict[str, dict[str, float]]:
    """The medians of all rounds, by router."""
    folders = write_variants(place / "adapters", options.tasks)
    (place / "tasks").mkdir()
    for name, folder in zip(names(options), folders, strict=True):
        (place / "tasks" / f"{name}.yaml").write_text(yaml.safe_dump({"adapter": str(folder)}))
    rounds: dict[str, list[dict[str, float]]] = {router: [] for router in ROUTERS}
    with ray_cluster(workers=2, cpus=2) as cluster:
        cluster.deploy(*(stated(router, options, place) for router in ROUTERS))
        for router in ROUTERS:  # each version is checked once: that is no part of what is compared
            round_of(cluster, router, options, seed=0)
        for number in range(1, options.rounds + 1):
            for router in ROUTERS if number % 2 else ROUTERS[::-1]:
                rounds[router].append(round_of(cluster, router, options, number))
    return {router: medians(found) for router, found in rounds.items()}


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure over all rounds."""
    return {name: round(median(each[name] for each in rounds), 4) for name in rounds[0]}


def main() -> None:
    """Print a line for each router."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=90)
    parser.add_argument("--slots", type=int, default=40, help="adapters that one device holds")
    parser.add_argument("--host-mib", type=int, default=4096, help="weights in host memory")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--skew", type=float, default=0.8)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(options, Path(place))
    heads = ("loads/request", "p50 ms", "p99 ms", "requests/s", "errors")
    print(f"{'router':<14}" + "".join(f"{head:>15}" for head in heads))
    for router, of in found.items():
        shown = [of[name] for name in _FIGURES]
        print(f"{router:<14}" + "".join(f"{value:>15.3f}" for value in shown))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
