"""What an overlay renders to, as values: objects, and the pods that any kind of them makes."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deploy.ray_serve.options import RayOptions
from tests.running import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
_FOLDER = KUBERNETES / "overlays"
OVERLAYS = tuple(
    sorted(str(path.parent.relative_to(_FOLDER)) for path in _FOLDER.rglob("kustomization.yaml"))
)
RAY_CONFIG = ROOT / "deploy" / "ray_serve" / "config.yaml"
KUBECTL = Path(sys.executable).with_name("kubectl")
Object = dict[str, Any]


class Pod(NamedTuple):
    """Pods that one object makes: where it says so, their labels and their spec."""

    where: str
    labels: Mapping[str, str]
    spec: Object

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Every container with its place."""
        for key in ("initContainers", "containers"):
            for container in self.spec.get(key, ()):
                yield f"{self.where}/{container['name']}", container

    @property
    def is_ray(self) -> bool:
        """Whether Ray runs in it, which starts our servers itself."""
        return self.where.startswith("RayService/")


@dataclass(frozen=True)
class Manifests:
    """All objects of one overlay.

    Args:
        overlay: its name.
        objects: as `kubectl kustomize` prints them.
    """

    overlay: str
    objects: list[Object]

    def of(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> Object:
        """The only object of a kind."""
        (found,) = self.of(kind)
        return found

    def names(self, kind: str) -> set[str]:
        """The names of a kind's objects."""
        return {each["metadata"]["name"] for each in self.of(kind)}

    def pods(self) -> list[Pod]:
        """What every kind that makes pods makes."""
        return [pod for each in self.objects for pod in self._pods(each)]

    def _pods(self, each: Object) -> Iterator[Pod]:
        where = place(each)
        if each["kind"] == "Deployment":
            yield _templated(where, each["spec"]["template"])
        elif each["kind"] == "RayService":
            cluster = each["spec"]["rayClusterConfig"]
            yield _templated(f"{where}/head", cluster["headGroupSpec"]["template"])
            for group in cluster["workerGroupSpecs"]:
                yield _templated(f"{where}/{group['groupName']}", group["template"])
        elif each["kind"] == "InferenceService":
            yield self._predictor(where, each["spec"]["predictor"])

    def _predictor(self, where: str, predictor: Object) -> Pod:
        """KServe makes its pods of a runtime and of what the service says."""
        runtimes = {each["metadata"]["name"]: each["spec"] for each in self.of("ServingRuntime")}
        runtime = runtimes.get(predictor["model"].get("runtime"), {"containers": []})
        spec = {key: value for key, value in predictor.items() if key != "labels"}
        spec |= {key: runtime[key] for key in ("containers", "volumes") if key in runtime}
        return Pod(where, predictor.get("labels", {}), spec)

    def serve_config(self) -> Object:
        """What Ray Serve is told to run; empty where there is no Ray."""
        found = [each["spec"]["serveConfigV2"] for each in self.of("RayService")]
        return yaml.safe_load(found[0]) if found else {}

    def ray_options(self) -> list[RayOptions]:
        """What the applications on Ray are told."""
        applications = self.serve_config().get("applications", ())
        return [RayOptions(**each.get("args", {})) for each in applications]

    def copied(self) -> Manifests:
        """The same, to be changed."""
        return Manifests(self.overlay, copy.deepcopy(self.objects))


def _templated(where: str, template: Object) -> Pod:
    return Pod(where, template["metadata"].get("labels", {}), template["spec"])


def place(each: Object) -> str:
    """An object's kind and name."""
    return f"{each['kind']}/{each['metadata']['name']}"


@lru_cache(maxsize=32)
def overlay(name: str) -> Manifests:
    """One overlay, rendered once; not to be changed, see `Manifests.copied`."""
    return Manifests(name, render(_FOLDER / name))


def render(folder: Path) -> list[Object]:
    """What `kubectl kustomize` makes of a folder."""
    command = [str(KUBECTL), "kustomize", str(folder)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def variables(container: Object) -> dict[str, str]:
    """The environment of a container; a resource of its own stands as its amount."""
    found = {}
    for each in container.get("env", ()):
        reference = each.get("valueFrom", {}).get("resourceFieldRef")
        if reference:
            section, _, resource = reference["resource"].partition(".")
            found[each["name"]] = str(container["resources"][section].get(resource, "absent"))
        elif "value" in each:
            found[each["name"]] = each["value"]
    return found
