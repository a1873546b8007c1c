"""The restricted Pod Security standard, and what we ask beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tests.kubernetes.manifests import Manifests, Object, Pod, variables

USER = 10001
POD: dict[str, Any] = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
CONTAINER: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}
PROFILE = {"type": "RuntimeDefault"}
IDS = ("runAsUser", "runAsGroup")
MORE = ("supplementalGroups", "sysctls", "seLinuxOptions", "appArmorProfile")
HOSTS = ("hostNetwork", "hostPID", "hostIPC")
WRITTEN = ("POLYHEAD_STATE_DIR", "POLYHEAD_CACHE_DIR", "XDG_CACHE_HOME", "HF_HOME")
VOLUMES = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def unrestricted_pods(manifests: Manifests) -> Iterator[str]:
    """Pods that could do more than serve."""
    for pod in manifests.pods():
        given = pod.spec.get("securityContext", {})
        yield from _differing(pod.where, given, POD)
        if given.get("seccompProfile") != PROFILE:
            yield f"{pod.where}: seccompProfile is not RuntimeDefault"
        yield from (f"{pod.where}: {name}" for name in MORE if name in given)
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.where}: enableServiceLinks is not false"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.where}: automountServiceAccountToken is not false"
        yield from (f"{pod.where}: {name}" for name in HOSTS if pod.spec.get(name))
        for volume in pod.spec.get("volumes", ()):
            yield from (f"{pod.where}: volume {kind}" for kind in volume.keys() - VOLUMES)
    for account in manifests.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "ServiceAccount: automountServiceAccountToken is not false"


def unrestricted_containers(manifests: Manifests) -> Iterator[str]:
    """Containers that could do more than serve."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            given = container.get("securityContext", {})
            yield from _differing(where, given, CONTAINER)
            if given.get("privileged") or {given.get(key, USER) for key in IDS} != {USER}:
                yield f"{where}: privileged, or another user"
            if given.get("seccompProfile", PROFILE) != PROFILE:
                yield f"{where}: seccompProfile is not RuntimeDefault"
            yield from (f"{where}: host port" for p in container["ports"] if "hostPort" in p)


def _differing(where: str, given: Object, wanted: Object) -> Iterator[str]:
    for key, value in wanted.items():
        if given.get(key) != value:
            yield f"{where}: {key} is {given.get(key)!r} instead of {value!r}"


def unwritable_folders(manifests: Manifests) -> Iterator[str]:
    """What the server writes must lie on a volume, for its own file system is read-only."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            mounts = _mounts(pod, container)
            given = variables(container)
            writable = [path for path, may_write in mounts.items() if may_write]
            yield from (
                f"{where}: {name}={given[name]} is on no volume that can be written"
                for name in WRITTEN
                if name in given and not _within(given[name], writable)
            )
            if "/tmp" not in writable:
                yield f"{where}: /tmp cannot be written"
            tasks = given.get("POLYHEAD_TASKS", "")
            if "://" not in tasks and not _within(tasks, list(mounts)):
                yield f"{where}: POLYHEAD_TASKS={tasks} is on no volume"


def _mounts(pod: Pod, container: Object) -> dict[str, bool]:
    """Where volumes are mounted, and whether they can be written."""
    volumes = {each["name"]: each for each in pod.spec.get("volumes", ())}
    return {
        each["mountPath"]: not each.get("readOnly") and "configMap" not in volumes[each["name"]]
        for each in container["volumeMounts"]
    }


def _within(path: str, folders: list[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


def open_networks(manifests: Manifests) -> Iterator[str]:
    """Every pod is behind a policy of both directions, and no rule lets everything through."""
    policies = manifests.of("NetworkPolicy")
    if not policies:
        yield "no NetworkPolicy"
    for each in policies:
        spec = each["spec"]
        if set(spec["policyTypes"]) != {"Ingress", "Egress"}:
            yield "NetworkPolicy: not of both directions"
        yield from (
            "NetworkPolicy: a rule without ports or peers" for r in spec["ingress"] if not r
        )
        for rule in spec["egress"]:
            ports = {port["port"] for port in rule.get("ports", ())}
            is_own = all("podSelector" in peer for peer in rule.get("to", ())) and "to" in rule
            if not is_own and (not ports or not ports <= {53, 443}):
                yield f"NetworkPolicy: egress to ports {sorted(ports)}"
