"""What the Ray overlay must share with the code: its configuration, its release, its nodes."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from deploy.ray_serve.options import RayOptions
from serving.settings import PREFIX
from tests.kubernetes import code
from tests.kubernetes.checks.references import selected
from tests.kubernetes.checks.stopping import amount
from tests.kubernetes.manifests import RAY_CONFIG, Manifests, variables
from tests.running import ROOT

INGRESS_CPUS = 0.1
"""As `deploy.ray_serve.application` reserves; reading it there would load Ray."""


def other_configuration(manifests: Manifests) -> Iterator[str]:
    """A configuration that is not the one that deploy/ray_serve ships, or that it would refuse."""
    for each in manifests.of("RayService"):
        if manifests.serve_config() != yaml.safe_load(RAY_CONFIG.read_text(encoding="utf-8")):
            yield "RayService: serveConfigV2 is not deploy/ray_serve/config.yaml"
        version = each["spec"]["rayClusterConfig"]["rayVersion"]
        if version != code.ray_version():
            yield f"RayService: rayVersion {version}; the image has {code.ray_version()}"
        for application in manifests.serve_config().get("applications", ()):
            if not _is_there(application["import_path"]):
                yield f"RayService: there is no {application['import_path']}"
        try:
            manifests.ray_options()
        except ValueError as error:
            yield f"RayService: {error}"


def _is_there(path: str) -> bool:
    """Whether a module of ours has a function, told by its text: Ray would take seconds to load."""
    module, _, name = path.partition(":")
    file = ROOT / f"{module.replace('.', '/')}.py"
    return file.is_file() and f"\ndef {name}(" in file.read_text(encoding="utf-8")


def small_nodes(manifests: Manifests) -> Iterator[str]:
    """Replicas that no worker has room for, and variables that the configuration overrules."""
    for each in manifests.of("RayService"):
        groups = each["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        nodes = [
            _cores(group["template"]["spec"]) for group in groups for _ in range(group["replicas"])
        ]
        for options in manifests.ray_options():
            yield from _crowded(options, nodes)
            overruled = {PREFIX + name.upper() for name in ("drain_timeout_s", *options.settings)}
            for pod in manifests.pods():
                for where, container in pod.containers():
                    for name in sorted(overruled & set(variables(container))):
                        yield f"{where}: {name} is overruled by serveConfigV2"


def _crowded(options: RayOptions, nodes: list[float]) -> Iterator[str]:
    first = options.initial_replicas or options.min_replicas
    room = sum(int(cores // options.num_cpus) for cores in nodes)
    if room < first:
        yield f"RayService: room for {room} of {first} replicas"
    free = sum(nodes) - first * options.num_cpus
    if options.topology == "affine" and free < options.ingress_replicas * INGRESS_CPUS:
        yield f"RayService: no room for {options.ingress_replicas} ingresses"


def _cores(spec: dict[str, list[dict[str, dict[str, dict[str, str]]]]]) -> float:
    return float(amount(spec["containers"][0]["resources"]["limits"]["cpu"]))


def blocked_drains(manifests: Manifests) -> Iterator[str]:
    """A budget that Kubernetes cannot work out for pods of a custom kind: it lets none go."""
    for each in manifests.of("PodDisruptionBudget"):
        for pod in selected(manifests, each["spec"]["selector"]):
            if pod.is_ray and not isinstance(each["spec"].get("minAvailable"), int):
                yield f"{pod.where}: its PodDisruptionBudget needs `minAvailable` as a number"
