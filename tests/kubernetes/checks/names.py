"""Names in manifests that the code must have: variables, flags, ports, paths, series, images."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import PurePath

import promql_parser

from serving.settings import PREFIX
from tests.kubernetes import code
from tests.kubernetes.manifests import Manifests, Object, variables
from tests.kubernetes.series import series_of

KNOWN_VARIABLES = {"XDG_CACHE_HOME", "HF_HOME", "HF_TOKEN", "RAY_USAGE_STATS_ENABLED"}
RAY_PATHS = {
    "dashboard": "/api/gcs_healthz",
    "agent": "/api/local_raylet_healthz",
    "serve": "/-/healthz",
}
HEALTH = {
    "startupProbe": "/health/live",
    "livenessProbe": "/health/live",
    "readinessProbe": "/health/ready",
}
RAY_PORTS = {"gcs": 6379, "dashboard": 8265, "agent": 52365, "metrics": 8080}
"""KubeRay's defaults; that of `serve` stands in Serve's own configuration."""
IMAGES = {"gpu": "-cuda", "ray": "-ray"}
EVERYWHERE = ("0.0.0.0", "::")
TARGET_LABELS = {"job", "namespace", "pod", "container", "service", "endpoint", "instance"}


def unknown_variables(manifests: Manifests) -> Iterator[str]:
    """Variables that are no setting, or a setting that would not be taken."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            given = variables(container)
            names = [each["name"] for each in container.get("env", ())]
            for name in names:
                if not name.startswith(PREFIX) and name not in KNOWN_VARIABLES:
                    yield f"{where}: nothing reads the variable {name}"
            if "envFrom" in container:
                yield f"{where}: envFrom: write each variable, so that it can be checked"
            if "XDG_CACHE_HOME" not in names:
                yield f"{where}: XDG_CACHE_HOME: a cache would be on the read-only root"
            if len(set(names)) != len(names):
                yield f"{where}: a variable stands twice"
            _, problems = code.settings_of(given)
            yield from (f"{where}: {problem}" for problem in problems)


def unknown_flags(manifests: Manifests) -> Iterator[str]:
    """Commands and options that our command line, or Ray's, does not have."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            if "command" in container:
                yield f"{where}: command: the image's own starts polyhead"
            given = container.get("args", [])
            if given and pod.is_ray:
                yield f"{where}: args: KubeRay writes them"
            elif given:
                yield from (f"{where}: {problem}" for problem in code.problems_of(given))
            yield from _unknown_ray_flags(where, container)
    for each in manifests.of("RayService"):
        cluster = each["spec"]["rayClusterConfig"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            for name in group["rayStartParams"]:
                if f"--{name}" not in code.ray_options_of("start"):
                    yield f"RayService: ray start has no option --{name}"


def _unknown_ray_flags(where: str, container: Object) -> Iterator[str]:
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ())
    for command in " ".join(hook).split(";"):
        words = shlex.split(command.partition("ray ")[2])
        if words:
            known = code.ray_options_of(words[0])
            flags = [word for word in words[1:] if word.startswith("--")]
            yield from (
                f"{where}: ray {words[0]} has no option {f}" for f in flags if f not in known
            )


def wrong_ports(manifests: Manifests) -> Iterator[str]:
    """Ports that nothing listens on."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
            if pod.is_ray:
                wanted = {**RAY_PORTS, "serve": serve_port(manifests)}
            else:
                settings, _ = code.settings_of(variables(container))
                wanted = {"http": settings.port}
                if settings.host not in EVERYWHERE:
                    yield f"{where}: listens on {settings.host} alone"
            for name, number in ports.items():
                if wanted.get(name) != number:
                    yield f"{where}: port {name} is {number}; the code's is {wanted.get(name)}"


def serve_port(manifests: Manifests) -> int:
    """The port of Ray Serve's proxies."""
    options = manifests.serve_config().get("http_options", {})
    number: int = options.get("port", 8000) if options.get("host") in EVERYWHERE else -1
    return number


def wrong_probes(manifests: Manifests) -> Iterator[str]:
    """Probes that ask what nobody answers, or that are not there."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            named = {each["name"] for each in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {}).get("httpGet")
                if asked is None:
                    yield f"{where}: no {probe} over HTTP"
                elif asked["port"] not in named:
                    yield f"{where}: {probe}: no port {asked['port']}"
                elif asked.keys() - {"path", "port"} and asked.get("scheme") != "HTTP":
                    yield f"{where}: {probe}: asks more than a path of the pod's own port"
                elif not _answers(asked, pod.is_ray):
                    yield f"{where}: {probe}: nobody answers {asked['path']}"
                elif probe != "readinessProbe" and "ready" in asked["path"]:
                    yield f"{where}: {probe}: a server that drains would be killed"
                elif not pod.is_ray and not asked["path"].endswith(HEALTH[probe]):
                    yield f"{where}: {probe}: {asked['path']} says nothing of health"


def _answers(asked: Object, is_ray: bool) -> bool:
    if is_ray:
        path: str = asked["path"]
        return RAY_PATHS.get(asked["port"]) == path and f'"{path}"' in code.ray_says()
    return asked["path"] in code.routes()


def wrong_scrapes(manifests: Manifests) -> Iterator[str]:
    """Monitors that scrape a path that is no route."""
    for kind, key in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        for each in manifests.of(kind):
            if "namespaceSelector" in each["spec"]:
                yield f"{kind}: looks into other namespaces than its own"
            for endpoint in each["spec"][key]:
                if endpoint.get("scheme", "http") != "http" or "port" not in endpoint:
                    yield f"{kind}: scrapes otherwise than over HTTP from a named port"
                if _seconds(endpoint["scrapeTimeout"]) > _seconds(endpoint["interval"]):
                    yield f"{kind}: Prometheus refuses a scrapeTimeout above the interval"
                path = endpoint.get("path", "/metrics")
                if path not in code.routes():
                    yield f"{kind}: nobody answers {path}"


def _seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def unknown_series(manifests: Manifests) -> Iterator[str]:
    """Metrics in queries that no server shows, and labels that they do not have."""
    made = {
        rule["record"]
        for each in manifests.of("PrometheusRule")
        for group in each["spec"]["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    for where, query in _queries(manifests):
        try:
            used = list(series_of(promql_parser.parse(query)))
        except ValueError as error:
            yield f"{where}: {error}"
            continue
        for name, labels in used:
            if not name.startswith("polyhead") or name in made:
                continue
            if name not in code.SERIES:
                yield f"{where}: no server shows {name}"
            else:
                unknown = labels - code.SERIES[name] - TARGET_LABELS
                yield from (f"{where}: {name} has no label {label}" for label in sorted(unknown))


def _queries(manifests: Manifests) -> Iterator[tuple[str, str]]:
    for each in manifests.of("ScaledObject"):
        for trigger in each["spec"]["triggers"]:
            yield f"ScaledObject/{trigger['name']}", trigger["metadata"]["query"]
    for each in manifests.of("PrometheusRule"):
        for group in each["spec"]["groups"]:
            for rule in group["rules"]:
                yield rule.get("alert") or rule["record"], rule["expr"]


def wrong_images(manifests: Manifests) -> Iterator[str]:
    """Images that are not of this release, or not for this overlay."""
    wanted = f"polyhead:{code.release()}{IMAGES.get(PurePath(manifests.overlay).name, '')}"
    for pod in manifests.pods():
        for where, container in pod.containers():
            if container["image"] != wanted:
                yield f"{where}: image {container['image']} instead of {wanted}"
