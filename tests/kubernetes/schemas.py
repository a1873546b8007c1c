"""Manifests against schemas, with no field let through that a schema does not know."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate import latest_version, utils
from referencing import Registry, Resource

from tests.kubernetes.manifests import Manifests, Object, place
from tests.running import ROOT

CRDS = ROOT.parent / "shared" / "crds"
"""The custom kinds' own definitions, as their projects publish them; they lie beside a checkout."""
CUSTOM = ("ray.io", "serving.kserve.io", "monitoring.coreos.com", "keda.sh")
VERSION = latest_version()
FOLDER = f"kubernetes-json-schema/v{VERSION}-local-strict"


def is_custom(each: Object) -> bool:
    """Whether Kubernetes itself does not know the kind."""
    return each["apiVersion"].partition("/")[0] in CUSTOM


def core_problems(manifests: Manifests) -> Iterator[str]:
    """Fields of core kinds, and of pods in any kind, that Kubernetes would not take."""
    for each in manifests.objects:
        if not is_custom(each):
            yield from _core(each, place(each))
    for pod in manifests.pods():
        # KServe's own fields stand beside those of a pod; its definition checks them.
        known = {key: value for key, value in pod.spec.items() if key in _pod_fields()}
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": known}
        yield from _core(whole, pod.where)


def _core(each: Object, where: str) -> Iterator[str]:
    validator = _core_validator(each["apiVersion"], each["kind"])
    if validator is None:
        yield f"{where}: Kubernetes {VERSION} has no {each['apiVersion']} {each['kind']}"
    else:
        yield from _errors(validator, each, where)


def _errors(validator: Draft202012Validator, each: Object, where: str) -> Iterator[str]:
    for error in validator.iter_errors(each):
        yield f"{where}: {'.'.join(map(str, error.path))}: {error.message[:300]}"


@lru_cache(maxsize=32)
def _core_validator(api_version: str, kind: str) -> Draft202012Validator | None:
    """As `kubernetes_validate.validate` with `strict`, which reads all definitions each time."""
    group, _, version = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], version) if part)
    try:
        schema = utils.schema_contents(f"{FOLDER}/{name}.json", VERSION)
    except FileNotFoundError:
        return None
    registry = Resource.from_contents(schema) @ (_definitions() @ Registry())
    return Draft202012Validator(schema, registry=registry)


@lru_cache(maxsize=1)
def _definitions() -> Resource[Any]:
    return Resource.from_contents(utils.schema_contents(f"{FOLDER}/_definitions.json", VERSION))


@lru_cache(maxsize=1)
def _pod_fields() -> frozenset[str]:
    definitions: Any = _definitions().contents
    return frozenset(definitions["$defs"]["io.k8s.api.core.v1.PodSpec"]["properties"])


def custom_problems(manifests: Manifests) -> Iterator[str]:
    """Fields of custom kinds that their definitions do not know."""
    for each in manifests.objects:
        if is_custom(each):
            yield from _errors(_validator(each["apiVersion"], each["kind"]), each, place(each))


@lru_cache(maxsize=16)
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    group, _, version = api_version.partition("/")
    path = CRDS / f"{group}_{kind.lower()}s.yaml"
    definition = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    for each in definition["spec"]["versions"]:
        if each["name"] == version and each["served"]:
            return Draft202012Validator(strict(each["schema"]["openAPIV3Schema"]))
    raise AssertionError(f"{path.name} serves no {version}.")


def strict(schema: Any) -> Any:
    """A schema whose objects take no other fields than those that they name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {key: strict(value) for key, value in schema["properties"].items()}
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") is True
        if schema.get("type") == "object" and not is_open and "additionalProperties" not in schema:
            made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return made
