"""What is lost when something goes wrong on Ray: a count for each fault and topology.

    python -m benchmarks.ray_faults [--clients 16] [--kills 3] [--json FILE]

A cluster of three nodes on this machine, under steady load; each request that gets anything but its
answer is lost. `whole` has full servers behind Ray's proxy. `affine` has a thin ingress before
engine replicas, once without and once with its retries. Takes about five minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.ray_cluster import BUILD, RayCluster, application, ray_cluster
from benchmarks.server import BACKBONE
from benchmarks.steady import Heard, asking
from benchmarks.variants import SOURCE

CONTENDERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "whole": (BUILD, {"topology": "whole"}),
    "affine, no retry": (
        "benchmarks.ray_contenders:build",
        {"topology": "affine", "ingress_replicas": 2, "retries": 0},
    ),
    "affine": (
        "benchmarks.ray_contenders:build",
        {"topology": "affine", "ingress_replicas": 2},
    ),
}
TASKS = ("sentiment", "intent")
_WARM_S, _AFTER_S = 2.0, 2.0
Fault = Callable[[RayCluster, dict[str, Any], argparse.Namespace], None]


def engines(cluster: RayCluster) -> str:
    """The deployment whose replicas compute."""
    return "Replica" if cluster.running("Replica") else "Server"


def kill(cluster: RayCluster, deployment: str, times: int) -> None:
    """SIGKILL for one replica, again when it has been replaced."""
    for _ in range(times):
        dead = cluster.kill(deployment)
        cluster.wait_until_runs(without=[dead.id])


def kill_replica(cluster: RayCluster, stated: dict[str, Any], options: argparse.Namespace) -> None:
    """SIGKILL for replicas that compute."""
    kill(cluster, engines(cluster), options.kills)


def kill_ingress(cluster: RayCluster, stated: dict[str, Any], options: argparse.Namespace) -> None:
    """SIGKILL for ingresses; what they held is lost with their connections to the proxy."""
    kill(cluster, "Ingress", options.kills)


def drain_node(cluster: RayCluster, stated: dict[str, Any], options: argparse.Namespace) -> None:
    """A node is drained, and taken away when its replicas have moved."""
    cluster.add_node()
    node = cluster.running(engines(cluster))[0].node
    deployments = (engines(cluster), "Ingress")
    gone = [each for name in deployments for each in cluster.replicas(name) if each.node == node]
    cluster.drain(node)
    cluster.wait_until_runs(without=[each.id for each in gone])
    cluster.remove(node)


def redeploy(cluster: RayCluster, stated: dict[str, Any], options: argparse.Namespace) -> None:
    """The configuration is applied again with another setting: all replicas are replaced."""
    old = [each.id for each in cluster.replicas(engines(cluster))]
    settings = {**stated["args"]["settings"], "max_batch_rows": 300}
    cluster.apply({**stated, "args": {**stated["args"], "settings": settings}})
    cluster.wait_until_runs(without=old)


FAULTS: Mapping[str, Fault] = {
    "kill -9 replica": kill_replica,
    "kill -9 ingress": kill_ingress,
    "drain node": drain_node,
    "redeploy": redeploy,
}


def under_load(
    cluster: RayCluster, fault: Fault, stated: dict[str, Any], options: argparse.Namespace
) -> Heard:
    """What clients heard before, during and after a fault."""
    with asking([cluster.url], TASKS, options.clients, options.rest) as heard:
        time.sleep(_WARM_S)
        fault(cluster, stated, options)
        time.sleep(_AFTER_S)
    return heard


def measure(options: argparse.Namespace, place: Path) -> Iterator[dict[str, Any]]:
    """One row for each contender and fault."""
    (place / "tasks").mkdir()
    for task in TASKS:
        entry = yaml.safe_dump({"adapter": str(SOURCE.parent / task)})
        (place / "tasks" / f"{task}.yaml").write_text(entry)
    settings = {"tasks": str(place / "tasks"), "backbone": BACKBONE}
    settings["state_dir"] = str(place / "state")
    fixed = {"scale_on": "none", "min_replicas": 2, "max_replicas": 2, "num_cpus": 0.5}
    with ray_cluster(workers=2, cpus=2) as cluster:
        for name in options.topology or CONTENDERS:
            build, own = CONTENDERS[name]
            given = {**fixed, "settings": settings, **own}
            stated = application(given, build)
            cluster.deploy(stated)
            for what, fault in FAULTS.items():
                if what == "kill -9 ingress" and own["topology"] == "whole":
                    continue
                yield row(name, what, under_load(cluster, fault, stated, options))


def row(name: str, what: str, heard: Heard) -> dict[str, Any]:
    """The figures of one fault."""
    statuses = {str(status): count for status, count in sorted(heard.statuses.items())}
    found = {"topology": name, "fault": what, "requests": heard.statuses.total()}
    latencies_s = sorted(heard.latencies_s)
    longest = round(latencies_s[-1], 2)
    first = heard.failures[:1]
    return {
        **found,
        "lost": heard.num_lost,
        "statuses": statuses,
        "longest_s": longest,
        "first": first,
    }


def main() -> None:
    """Print a line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rest", type=float, default=0.02, help="seconds between requests")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--topology", action="append", choices=list(CONTENDERS), help="not all")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = list(measure(options, Path(place)))
    heads = f"{'topology':<18} {'fault':<16} {'requests':>8} {'lost':>5} {'longest':>9}  statuses"
    print(heads)
    for each in rows:
        told = f"{each['requests']:>8} {each['lost']:>5} {each['longest_s']:>7.2f} s"
        print(f"{each['topology']:<18} {each['fault']:<16} {told}  {each['statuses']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
