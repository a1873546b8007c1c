"""What manifests call each other: every name must lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.kubernetes.manifests import Manifests, Object, Pod, place, variables

SOURCES = {
    "configMap": ("ConfigMap", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}


def dangling_volumes(manifests: Manifests) -> Iterator[str]:
    """Volumes, mounts and service accounts that are not there."""
    for pod in manifests.pods():
        volumes = {each["name"]: each for each in pod.spec.get("volumes", ())}
        for name, volume in volumes.items():
            for key, (kind, field) in SOURCES.items():
                if key in volume and volume[key][field] not in manifests.names(kind):
                    yield f"{pod.where}: volume {name}: no {kind} {volume[key][field]}"
        mounted = set()
        for where, container in pod.containers():
            for mount in container.get("volumeMounts", ()):
                mounted.add(mount["name"])
                if mount["name"] not in volumes:
                    yield f"{where}: no volume {mount['name']}"
                if "subPath" in mount:
                    yield f"{where}: {mount['mountPath']}: a subPath never follows a change"
        yield from (f"{pod.where}: nobody mounts {name}" for name in volumes if name not in mounted)
        if pod.spec.get("serviceAccountName") not in manifests.names("ServiceAccount"):
            yield f"{pod.where}: no ServiceAccount {pod.spec.get('serviceAccountName')}"


def dangling_variables(manifests: Manifests) -> Iterator[str]:
    """Variables from Secrets and resources that are not there."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            for each in container.get("env", ()):
                origin = each.get("valueFrom", {})
                secret, resource = origin.get("secretKeyRef"), origin.get("resourceFieldRef")
                if secret and not secret.get("optional"):
                    yield f"{where}: {each['name']}: the Secret {secret['name']} must exist"
                if "configMapKeyRef" in origin or ("value" not in each and not origin):
                    yield f"{where}: {each['name']}: write its value, so that it can be checked"
                if resource and resource["containerName"] != container["name"]:
                    yield f"{where}: {each['name']}: no container {resource['containerName']}"
            for name, value in variables(container).items():
                if value == "absent":
                    yield f"{where}: {name}: the container has no such resource"


def dangling_ports(manifests: Manifests) -> Iterator[str]:
    """Ports by name that no selected pod has."""
    for each in manifests.of("Service"):
        pods = selected(manifests, {"matchLabels": each["spec"]["selector"]})
        for port in each["spec"]["ports"]:
            yield from _missing(each, port["targetPort"], pods)
    for each in manifests.of("NetworkPolicy"):
        pods = selected(manifests, each["spec"]["podSelector"])
        for rule in each["spec"].get("ingress", ()):
            for port in rule.get("ports", ()):
                yield from _missing(each, port["port"], pods)
    for each in manifests.of("PodMonitor"):
        pods = selected(manifests, each["spec"]["selector"])
        for endpoint in each["spec"]["podMetricsEndpoints"]:
            yield from _missing(each, endpoint["port"], pods)
    for each in manifests.of("ServiceMonitor"):
        services = [
            one
            for one in manifests.of("Service")
            if fits(each["spec"]["selector"], one["metadata"].get("labels", {}))
        ]
        named = {port["name"] for service in services for port in service["spec"]["ports"]}
        for endpoint in each["spec"]["endpoints"]:
            if endpoint["port"] not in named:
                yield f"{place(each)}: no Service has a port {endpoint['port']}"


def _missing(each: Object, name: str, pods: list[Pod]) -> Iterator[str]:
    named = {
        port["name"]
        for pod in pods
        for _, container in pod.containers()
        for port in container.get("ports", ())
    }
    if name not in named:
        yield f"{place(each)}: no pod that it selects has a port {name}"


def dangling_selectors(manifests: Manifests) -> Iterator[str]:
    """Selectors that choose no pod."""
    for each in manifests.objects:
        spec = each.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if each["kind"] == "Service":
            selector = {"matchLabels": selector}
        if selector and each["kind"] != "ServiceMonitor" and not selected(manifests, selector):
            yield f"{place(each)}: selects no pod"
    for pod in manifests.pods():
        for spread in pod.spec.get("topologySpreadConstraints", ()):
            if not fits(spread["labelSelector"], pod.labels):
                yield f"{pod.where}: spreads pods that are not its own"


def dangling_targets(manifests: Manifests) -> Iterator[str]:
    """Objects that act on an object that is not there."""
    for each in manifests.of("ScaledObject"):
        target = each["spec"]["scaleTargetRef"]
        if target["name"] not in manifests.names(target["kind"]):
            yield f"{place(each)}: no {target['kind']} {target['name']}"
        elif any("replicas" in one["spec"] for one in manifests.of(target["kind"])):
            yield f"{place(each)}: an apply would undo its scaling: remove `replicas`"
    for each in manifests.of("InferenceService"):
        model = each["spec"]["predictor"]["model"]
        runtimes = {one["metadata"]["name"]: one["spec"] for one in manifests.of("ServingRuntime")}
        runtime = runtimes.get(model["runtime"])
        if runtime is None:
            yield f"{place(each)}: no ServingRuntime {model['runtime']}"
        elif model["protocolVersion"] not in runtime["protocolVersions"]:
            yield f"{place(each)}: the runtime does not speak {model['protocolVersion']}"
        elif model["modelFormat"]["name"] not in [
            f["name"] for f in runtime["supportedModelFormats"]
        ]:
            yield f"{place(each)}: the runtime does not read {model['modelFormat']['name']}"


def selected(manifests: Manifests, selector: Object) -> list[Pod]:
    """The pods that a selector chooses."""
    return [pod for pod in manifests.pods() if fits(selector, pod.labels)]


def fits(selector: Object, labels: Mapping[str, Any]) -> bool:
    """Whether labels are those that a selector asks for; an empty one chooses nothing of ours."""
    wanted = selector.get("matchLabels", {})
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
