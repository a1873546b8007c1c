"""A Ray cluster for one process, or one that runs already, and our application on it."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from adapter_runtime import PolyheadError
from deploy.ray_serve.options import RayOptions
from serving.listeners import shown_host
from serving.settings import Settings

log = logging.getLogger(__name__)
NAME = "polyhead"
_STORE_BYTES = 100 << 20
"""Requests and answers are small: Ray's own choice, a third of the memory, would be wasted."""
_LOOK_S = 0.2
_SAY_S = 30.0
_READY_S = 600.0
_DRAIN_LOOK_S = 0.1
_HTTP_S = 10.0
_SHOWN = 12
_REASON = re.compile(r"^(?:\w+\.)*\w*(?:Error|Refused|Exception): *(.+)$", re.MULTILINE)
_REMEDIES = {"local": "look into the folder that RAY_TMPDIR names, or /tmp/ray, and try again"}
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray listens on an outer address on Linux
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",  # the proxy's; at first 10
    "RAY_worker_niceness": "0",  # a server is no background job
}


class NotStarted(PolyheadError):
    """Ray, or the application on it, did not start."""

    code = "not_started"


@contextmanager
def local_ray(options: RayOptions, settings: Settings) -> Iterator[str]:
    """A Ray of our own for the block: no dashboard, loopback only, with a token of its own.

    Yields:
        Where it serves.

    Raises:
        NotStarted: it does not start.
    """
    given = dict(_VARIABLES)
    if "RAY_AUTH_MODE" not in os.environ:  # who reaches its ports could run anything
        given |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in given.items():
        os.environ.setdefault(name, value)
    wanted = math.ceil(options.max_replicas * options.num_cpus + options.ingress_replicas)
    with _ray(
        address="local",
        num_cpus=max(os.cpu_count() or 1, wanted),
        include_dashboard=False,
        object_store_memory=_STORE_BYTES,
        _node_ip_address="127.0.0.1",
    ):
        yield _serve_on(settings)


@contextmanager
def joined_ray(address: str, settings: Settings) -> Iterator[str]:
    """A running cluster for the block.

    Yields:
        Where it serves: where Serve does already, else where the settings say.

    Raises:
        NotStarted: it cannot be reached.
    """
    with _ray(address=address):
        yield _serve_on(settings)


@contextmanager
def _ray(**given: Any) -> Iterator[None]:
    try:
        import ray
        import ray.serve
    except ModuleNotFoundError as error:
        raise NotStarted(
            f"Ray Serve needs the package {error.name}; pip install 'polyhead[ray]' brings it."
        ) from error
    try:
        ray.init(namespace="serve", log_to_driver=True, logging_level=logging.WARNING, **given)
    except Exception as error:  # Ray raises bare ones too, such as for a start that took too long
        remedy = _REMEDIES.get(given["address"], "check RAY_ADDRESS, or unset it for a Ray here")
        raise NotStarted(f"Ray did not start: {_line(str(error))} To mend it, {remedy}.") from error
    try:
        yield
    finally:
        ray.shutdown()


def _serve_on(settings: Settings) -> str:
    """Start Serve where it does not run yet; says where it serves."""
    from ray import serve
    from ray.serve.context import _get_global_client

    serve.start(
        proxy_location="HeadOnly",
        http_options={
            "host": settings.host,
            "port": settings.port,
            "keep_alive_timeout_s": max(1, round(settings.keep_alive_s)),
        },
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    client = _get_global_client()
    assert client is not None, "Serve has just been started. This is a bug."
    options = client.http_config
    if (options.host, options.port) != (settings.host, settings.port):
        log.warning("Serve runs already and listens on %s:%s", options.host, options.port)
    return f"http://{shown_host(options.host)}:{options.port}"


class Running:
    """Our application on a cluster that this process has joined.

    Args:
        options: how many replicas, of what.
        settings: of the service.
        url: where it is served.
    """

    def __init__(self, options: RayOptions, settings: Settings, url: str) -> None:
        self._options = options
        self._settings = settings
        self._url = url
        self._handle: Any = None

    def start(self, is_told: Callable[[], bool]) -> bool:
        """Have it started and wait until it answers. Blocks.

        Args:
            is_told: whether to give up.

        Returns:
            Whether it answers; not when told to stop.

        Raises:
            NotStarted: its replicas do not start.
        """
        from ray import serve
        from ray.serve.exceptions import RayServeException

        from deploy.ray_serve.application import assemble

        target = serve.RunTarget(target=assemble(self._options), name=NAME, route_prefix="/")
        try:
            self._handle = serve.run_many([target], wait_for_applications_running=False)[0]
        except (RayServeException, RuntimeError) as error:
            raise NotStarted(f"Ray Serve refused the application: {_line(str(error))}") from error
        began_s = said_s = time.monotonic()
        while not is_told():
            if self._is_running() and self._get("/health/ready") is not None:
                return True
            now_s = time.monotonic()
            if now_s - said_s > _SAY_S:
                said_s = now_s
                log.warning("Replicas are still starting: %s", _status().message or "no news")
            if now_s - began_s > _READY_S:
                raise NotStarted(f"No replica was ready after {_READY_S:g} s; see Ray's logs.")
            time.sleep(_LOOK_S)
        return False

    def _is_running(self) -> bool:
        status = _status()
        if status.status == "DEPLOY_FAILED":
            raise NotStarted(f"The replicas do not start: {_reason(status)}")
        return bool(status.status == "RUNNING")

    def _get(self, path: str) -> Any:
        """A JSON answer; None where there is none."""
        try:
            with urlopen(self._url + path, timeout=_HTTP_S) as answer:  # noqa: S310 - our own
                return json.load(answer)
        except (URLError, OSError, ValueError):
            return None

    def banner(self) -> str:
        """What is served and what to try."""
        tasks = (self._get("/tasks") or {"tasks": []})["tasks"]
        options = self._options
        number = f"{options.min_replicas}"
        if not options.is_fixed:
            number += f" to {options.max_replicas}"
        lines = [f"Polyhead serves {len(tasks)} tasks on {self._url}"]
        lines.append(f"  Ray Serve, topology {options.topology}, replicas: {number}")
        lines += [f"  {task['name']:<24} {task.get('kind') or '?'}" for task in tasks[:_SHOWN]]
        if len(tasks) > _SHOWN:
            lines.append(f"  … and {len(tasks) - _SHOWN} more: curl {self._url}/tasks")
        lines.append(f"Read:  {self._url}/docs    Stop: Ctrl-C")
        return "\n".join(lines)

    def drain(self, is_patient: bool) -> None:
        """Refuse new requests with 503 for a while and finish the old. Blocks.

        Args:
            is_patient: whether to give load balancers the time to hear of it.
        """
        notice_s = self._settings.drain_notice_s if is_patient else 0.0
        told_s = time.monotonic()
        self._ask("drain")
        while (waited_s := time.monotonic() - told_s) < max(self._options.drain_s, notice_s):
            if waited_s >= notice_s and not sum(self._ask("num_inside")):
                return
            time.sleep(_DRAIN_LOOK_S)

    def _ask(self, method: str) -> list[Any]:
        """What the replicas at the door answer; nothing where they are gone."""
        return _broadcast(self._handle, method)

    def end_with_ray(self) -> None:
        """Have the replicas write down what they know. Blocks.

        They still refuse requests with 503 meanwhile; taken down one by one, Ray would answer 404.
        """
        from ray import serve

        from deploy.ray_serve.application import engine_name

        _broadcast(serve.get_deployment_handle(engine_name(self._options), NAME), "close")

    def take_down(self) -> None:
        """Remove the application from a cluster that goes on. Blocks."""
        from ray import serve

        with suppress(Exception):  # Ray itself may be gone already
            serve.delete(NAME)


def _broadcast(handle: Any, method: str) -> list[Any]:
    try:
        answers = handle.broadcast(method).results(timeout_s=_HTTP_S, return_exceptions=True)
    except Exception as error:
        log.warning("Replicas could not be asked to %s: %s", method, error)
        return []
    return [each for each in answers if isinstance(each, int)]


def _status() -> Any:
    from ray import serve

    return serve.status().applications[NAME]


def _reason(status: Any) -> str:
    """Why replicas do not start, in the words of who raised it."""
    told = [status.message, *(each.message for each in status.deployments.values())]
    found = [match for text in told for match in _REASON.findall(text or "")]
    return found[-1] if found else _line(" ".join(filter(None, told)))


def _line(text: str) -> str:
    return " ".join(text.split())[:600] or "no reason is given"
