"""A Ray cluster of several nodes on this machine, for a benchmark or a test, and what it runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.request import urlopen

APPLICATION = "polyhead"
BUILD = "deploy.ray_serve.application:build"
_ADDRESS = "127.0.0.1"
_HEAD, _WORKERS = "127.0.0.2", "127.0.0.3"
"""Loopback, but not the name for which Ray takes an outer address instead; two of them, so that
this process joins the head and no worker."""
_WORKER_PORT = "RAY_SERVE_WORKER_PROXY_HTTP_PORT"
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "2",
    "RAY_metrics_report_interval_ms": "1000",
}
_WAIT_S = 240.0
_LOOK_S = 0.25
_STORE_BYTES = 80 << 20


class Replica(NamedTuple):
    """A process that serves a deployment."""

    id: str
    pid: int
    node: str
    state: str


@dataclass
class RayCluster:
    """A running cluster: a head without replicas, and workers.

    Args:
        cluster: Ray's own.
        place: folder for all that it writes.
        cpus: that each worker says it has.
        nodes: by their id, with the port of their proxies.
    """

    cluster: Any
    place: Path
    cpus: int
    nodes: dict[str, tuple[Any, int]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The head's proxy."""
        return next(iter(self.urls.values()))

    @property
    def urls(self) -> Mapping[str, str]:
        """The proxies by their nodes; a worker has one while it has replicas."""
        return {node: f"http://{_ADDRESS}:{port}" for node, (_, port) in self.nodes.items()}

    @property
    def workers(self) -> Sequence[str]:
        """The ids of all nodes but the head."""
        return list(self.nodes)[1:]

    def add_node(self) -> str:
        """The id of a new worker."""
        port = free_port()
        with patch.dict(os.environ, {_WORKER_PORT: str(port)}):
            node = self.cluster.add_node(
                num_cpus=self.cpus,
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                node_ip_address=_WORKERS,
            )
        self.nodes[node.node_id] = (node, port)
        return str(node.node_id)

    def drain(self, node: str, seconds: int = 60) -> None:
        """Tell a worker to go once its replicas have, as `ray drain-node` does."""
        command = [str(Path(sys.executable).with_name("ray")), "drain-node"]
        command += ["--address", self.cluster.address, "--node-id", node]
        command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION"]
        command += ["--reason-message", "a drill", "--deadline-remaining-seconds", str(seconds)]
        subprocess.run(command, check=True, capture_output=True)

    def proxy_of(self, node: str) -> str:
        """The URL of a node's proxy, once it answers."""
        url, until_s = self.urls[node], time.monotonic() + _WAIT_S
        while True:
            try:
                with urlopen(f"{url}/health/ready", timeout=_WAIT_S):
                    return url
            except OSError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(_LOOK_S)

    def remove(self, node: str) -> None:
        """End a worker's processes."""
        self.cluster.remove_node(self.nodes.pop(node)[0], allow_graceful=False)

    def deploy(self, *applications: Mapping[str, Any]) -> None:
        """Apply a configuration as `serve deploy` does, and wait until it runs everywhere."""
        self.apply(*applications)
        self.wait_until_runs()

    def apply(self, *applications: Mapping[str, Any]) -> None:
        """Apply a configuration as `serve deploy` does.

        Args:
            applications: as `application` states them; all that shall be there.
        """
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        schema = ServeDeploySchema.model_validate({"applications": applications})
        _get_global_client().deploy_apps(schema)

    def wait_until_runs(self, without: Sequence[str] = ()) -> None:
        """Return when everything runs with all the replicas that it shall have.

        Args:
            without: ids of replicas that must be gone.
        """
        until_s = time.monotonic() + _WAIT_S
        while True:
            found = self.applications()
            there = [each for of in found.values() for each in _replicas(of)]
            is_rid = not {each["replica_id"] for each in there} & set(without)
            is_whole = {each["state"] for each in there} == {"RUNNING"}
            statuses = {str(of["status"].value) for of in found.values()}
            if is_rid and is_whole and statuses == {"RUNNING"}:
                return
            if "DEPLOY_FAILED" in statuses or time.monotonic() > until_s:
                told = [of["message"] or of for of in found.values()]
                raise SystemExit(f"Not everything runs: {told}")
            time.sleep(_LOOK_S)

    def applications(self) -> dict[str, dict[str, Any]]:
        """What Ray says of the applications."""
        import ray
        from ray.serve.context import _get_global_client

        controller = _get_global_client()._controller
        found = ray.get(controller.get_serve_instance_details.remote())
        applications: dict[str, dict[str, Any]] = found["applications"]
        return applications

    def replicas(self, deployment: str) -> Sequence[Replica]:
        """A deployment's replicas, those that stop or check themselves too."""
        listed = [each for of in self.applications().values() for each in _replicas(of, deployment)]
        return [
            Replica(each["replica_id"], each["pid"], each["node_id"], each["state"])
            for each in listed
            if "pid" in each
        ]

    def running(self, deployment: str) -> Sequence[Replica]:
        """A deployment's replicas that take requests."""
        return [each for each in self.replicas(deployment) if each.state == "RUNNING"]

    def ask_all(self, deployment: str, method: str, *arguments: Any) -> list[Any]:
        """What every replica of a deployment answers, each asked past all routing."""
        from ray import serve

        handle = serve.get_deployment_handle(deployment, APPLICATION)
        try:
            answers: list[Any] = handle.broadcast(method, *arguments).results(timeout_s=_WAIT_S)
        finally:
            handle.shutdown()
        return answers

    def kill(self, deployment: str) -> Replica:
        """The replica that was just killed, as the kernel does when memory is short."""
        victim = self.running(deployment)[0]
        os.kill(victim.pid, signal.SIGKILL)
        return victim

    def metrics(self, node: str) -> str:
        """What Ray's own exporter on a node says."""
        with urlopen(
            f"http://{self.nodes[node][0].node_ip_address}:{self.nodes[node][0].metrics_export_port}"
        ) as answer:
            return str(answer.read().decode())


def _replicas(application: Mapping[str, Any], name: str | None = None) -> list[dict[str, Any]]:
    deployments = application["deployments"].items()
    return [each for own, of in deployments if name in (None, own) for each in of["replicas"]]


def application(
    arguments: Mapping[str, Any],
    build: str = BUILD,
    name: str = APPLICATION,
    prefix: str = "/",
    overrides: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """An application as a configuration of Ray Serve states it.

    Args:
        arguments: of its builder.
        build: the builder.
        name: of the application.
        prefix: of its routes.
        overrides: of what the builder says of deployments; no replica is replaced for them.
    """
    stated = {"name": name, "route_prefix": prefix, "import_path": build, "args": dict(arguments)}
    return {**stated, "deployments": [dict(each) for each in overrides]}


@contextmanager
def ray_cluster(
    workers: int = 2, cpus: int = 8, variables: Mapping[str, str] | None = None
) -> Iterator[RayCluster]:
    """A cluster with Ray Serve for the block; nothing stays of it.

    Args:
        workers: nodes beside the head.
        cpus: that each of them says it has; replicas ask for some.
        variables: of the environment of all nodes.
    """
    # Sockets lie in it, and their names may have no more than 107 bytes.
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        given = {**_VARIABLES, "RAY_TMPDIR": str(place), **(variables or {})}
        stack.enter_context(patch.dict(os.environ, given))
        os.environ.pop("RAY_ADDRESS", None)
        # Threads that Ray leaves behind would start a cluster of their own when this one is gone.
        stack.enter_context(patch("ray._private.auto_init_hook.enable_auto_connect", False))
        yield stack.enter_context(_started(place, workers, cpus))


@contextmanager
def _started(place: Path, workers: int, cpus: int) -> Iterator[RayCluster]:
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    own = Cluster()
    try:
        head = own.add_node(
            num_cpus=0,
            object_store_memory=_STORE_BYTES,
            include_dashboard=False,
            node_ip_address=_HEAD,
        )
        port = free_port()
        found = RayCluster(own, place, cpus, {head.node_id: (head, port)})
        for _ in range(workers):
            found.add_node()
        ray.init(
            own.address,
            namespace="serve",
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address=_HEAD,
        )
        serve.start(proxy_location="EveryNode", http_options={"host": _ADDRESS, "port": port})
        yield found
    finally:
        ray.shutdown()
        own.shutdown()


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((_ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port
