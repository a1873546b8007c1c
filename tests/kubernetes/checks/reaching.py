"""Who can reach a pod: its policy must let in what asks it, and keep out what nobody should."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kubernetes.checks.references import fits
from tests.kubernetes.manifests import Manifests, Object, Pod, place

PUBLIC = {"http", "serve", "metrics"}
"""Ports for clients, proxies and Prometheus, wherever they run; all others are a cluster's own."""
OPERATOR = {"dashboard", "serve"}
"""What KubeRay asks."""


def closed_networks(manifests: Manifests) -> Iterator[str]:
    """Pods that those who ask them cannot reach, that others can, or that find no names."""
    for pod in manifests.pods():
        policies = [
            each["spec"]
            for each in manifests.of("NetworkPolicy")
            if fits(each["spec"]["podSelector"], pod.labels)
        ]
        ingress = [rule for spec in policies for rule in spec.get("ingress", ())]
        egress = [rule for spec in policies for rule in spec.get("egress", ())]
        named = {port["name"] for _, each in pod.containers() for port in each["ports"]}
        open_ports = _ports([rule for rule in ingress if "from" not in rule])
        for name in sorted(named & PUBLIC - open_ports):
            yield f"{pod.where}: its policy lets nobody in to {name}"
        for name in sorted(named & open_ports - PUBLIC):
            yield f"{pod.where}: its policy lets everybody in to {name}"
        if not {("UDP", 53), ("TCP", 53)} <= _pairs(egress):
            yield f"{pod.where}: its policy does not let it ask for names"
        if pod.is_ray:
            yield from _apart(pod, ingress, egress)
    if not any(manifests.of("NetworkPolicy")):
        yield "no NetworkPolicy"


def _apart(pod: Pod, ingress: list[Object], egress: list[Object]) -> Iterator[str]:
    """Ray's nodes speak to each other on any port, and KubeRay to the head."""
    for key, rules in (("from", ingress), ("to", egress)):
        own = [rule for rule in rules if "ports" not in rule and _names(rule.get(key, ()), pod)]
        if not own:
            yield f"{pod.where}: its policy keeps Ray's nodes apart ({key})"
    operators = [rule for rule in ingress if "namespaceSelector" in str(rule.get("from"))]
    if not _ports(operators) >= OPERATOR:
        yield f"{pod.where}: its policy keeps KubeRay out"


def _names(peers: list[Object], pod: Pod) -> bool:
    return any("podSelector" in peer and fits(peer["podSelector"], pod.labels) for peer in peers)


def _ports(rules: list[Object]) -> set[str]:
    return {name for protocol, name in _pairs(rules) if protocol == "TCP"}


def _pairs(rules: list[Object]) -> set[tuple[str, str]]:
    return {
        (each.get("protocol", "TCP"), each["port"])
        for rule in rules
        for each in rule.get("ports", ())
    }


def unheard_services(manifests: Manifests) -> Iterator[str]:
    """Services under other names or ports than docs/kubernetes.md tells clients."""
    for each in manifests.of("Service"):
        ports = {port["name"]: port["port"] for port in each["spec"]["ports"]}
        if (each["metadata"]["name"], ports) != ("polyhead", {"http": 80}):
            yield f"{place(each)}: clients ask polyhead, port 80, called http"
    for each in manifests.of("RayService"):
        service = each["spec"].get("serveService", {"metadata": {}, "spec": {"ports": []}})
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        if (service["metadata"].get("name"), ports) != ("polyhead", {"serve": 8000}):
            yield f"{place(each)}: clients ask polyhead, port 8000, called serve"
