"""Times and sizes that must fit each other: probes, stopping, memory, cores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from serving import pulse
from tests.kubernetes import code
from tests.kubernetes.manifests import Manifests, Object, Pod, variables

LEAVE_S, COMMAND_S = 5.0, 10.0
START_S, NOTICED_S = 120, 30
PROCESS_BYTES = 3 << 29
"""What a server takes beside the bytes that its settings bound: libraries, backbone, batches."""
UNITS = {"": 1, "m": Decimal("0.001"), "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def amount(quantity: str) -> Decimal:
    """A quantity as Kubernetes writes it."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity))
    assert match is not None, quantity
    return Decimal(match[1]) * UNITS[match[2]]


def pre_stop_s(container: Object) -> float:
    """How long the hook before SIGTERM lasts."""
    hook = container.get("lifecycle", {}).get("preStop", {})
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    found = re.search(r"\bsleep (\d+)\b", " ".join(hook.get("exec", {}).get("command", ())))
    return float(found[1]) if found else 0.0


def hasty_ends(manifests: Manifests) -> Iterator[str]:
    """Pods that are killed before they have answered what they took."""
    for pod in manifests.pods():
        grace_s = pod.spec.get("terminationGracePeriodSeconds", 30)
        for where, container in pod.containers():
            hook_s = pre_stop_s(container)
            needed_s = hook_s + LEAVE_S
            if pod.is_ray:
                needed_s += COMMAND_S
                yield from _undrained(where, container, manifests)
            else:
                settings, _ = code.settings_of(variables(container))
                needed_s += settings.drain_notice_s + settings.drain_timeout_s
            if hook_s < LEAVE_S:
                yield f"{where}: preStop of {hook_s} s: proxies have not heard by then"
            if grace_s < needed_s:
                yield f"{where}: grace of {grace_s} s; stopping may take {needed_s} s"


def _undrained(where: str, container: Object, manifests: Manifests) -> Iterator[str]:
    """A worker must stay until Serve has moved its replicas, and they have their time to end."""
    hook = container["lifecycle"]["preStop"]
    found = re.search(
        r"--deadline-remaining-seconds (\d+)", " ".join(hook.get("exec", {}).get("command", ()))
    )
    if found is None:
        if "/head/" not in where:
            yield f"{where}: its node is not drained"
        return
    drain_s = max(options.drain_s for options in manifests.ray_options())
    if int(found[1]) < drain_s + COMMAND_S:
        yield f"{where}: the node's deadline is {found[1]} s; a replica may take {drain_s} s"
    if pre_stop_s(container) < int(found[1]):
        yield f"{where}: preStop ends before the node's deadline"


def hasty_probes(manifests: Manifests) -> Iterator[str]:
    """Probes that give up before the server would, and rollouts that do."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            for probe in ("livenessProbe", "startupProbe"):
                if not pod.is_ray and container[probe]["timeoutSeconds"] <= pulse._PATIENCE_S:
                    yield f"{where}: {probe} gives up before the device's row has had its time"
            if _lasts_s(container["startupProbe"]) < START_S:
                yield f"{where}: startupProbe gives up before a backbone is there"
            if _lasts_s(container["readinessProbe"]) > NOTICED_S:
                yield f"{where}: readinessProbe notices too late"
    for each in manifests.of("Deployment"):
        spec = each["spec"]
        if spec["strategy"].get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield "Deployment: a rollout takes servers away before there are others"
        for container in spec["template"]["spec"]["containers"]:
            if _lasts_s(container["startupProbe"]) >= spec["progressDeadlineSeconds"]:
                yield "Deployment: a rollout is given up before a start is"


def _lasts_s(probe: Object) -> int:
    """For how long it may fail before something is done."""
    found: int = probe["periodSeconds"] * probe["failureThreshold"]
    return found


def misfitting_resources(manifests: Manifests) -> Iterator[str]:
    """Memory that is less than the settings allow, and devices that are not asked for."""
    for pod in manifests.pods():
        for where, container in pod.containers():
            settings, _ = code.settings_of(variables(container))
            limits = container["resources"]["limits"]
            is_cuda = settings.device == "cuda"
            most = settings.host_bytes + (0 if is_cuda else settings.device_bytes) + PROCESS_BYTES
            if amount(limits["memory"]) < most:
                yield f"{where}: memory limit {limits['memory']}; the settings allow {most} bytes"
            if is_cuda != ("nvidia.com/gpu" in limits):
                yield f"{where}: device {settings.device} and its GPU limit do not agree"
            yield from _beyond(where, container)
        yield from _full_disks(pod)


def _beyond(where: str, container: Object) -> Iterator[str]:
    limits = container["resources"]["limits"]
    for name, quantity in container["resources"]["requests"].items():
        if name in limits and amount(quantity) > amount(limits[name]):
            yield f"{where}: requests more {name} than its limit"


def _full_disks(pod: Pod) -> Iterator[str]:
    volumes = [each["emptyDir"] for each in pod.spec["volumes"] if "emptyDir" in each]
    sizes = [amount(each["sizeLimit"]) for each in volumes if each.get("medium") != "Memory"]
    for where, container in pod.containers():
        if sum(sizes) > amount(container["resources"]["limits"]["ephemeral-storage"]):
            yield f"{where}: its folders may grow past its ephemeral-storage"
