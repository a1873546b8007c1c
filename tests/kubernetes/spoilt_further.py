"""More of `spoilt`: who reaches a pod, how many there are, and what its container is told."""

from __future__ import annotations

from tests.kubernetes.manifests import Manifests, Object
from tests.kubernetes.parts import Spoil, cluster, container, predictor, query, template


def policy(manifests: Manifests) -> Object:
    """The NetworkPolicy's spec."""
    found: Object = manifests.one("NetworkPolicy")["spec"]
    return found


def budget(manifests: Manifests) -> Object:
    """The PodDisruptionBudget's spec."""
    found: Object = manifests.one("PodDisruptionBudget")["spec"]
    return found


def scaled(manifests: Manifests, index: int = 0) -> Object:
    """What a trigger of the ScaledObject is told."""
    found: Object = manifests.one("ScaledObject")["spec"]["triggers"][index]["metadata"]
    return found


def scraped(manifests: Manifests) -> Object:
    """The ServiceMonitor's endpoint."""
    (found,) = manifests.one("ServiceMonitor")["spec"]["endpoints"]
    return found  # type: ignore[no-any-return]


def probed(manifests: Manifests, probe: str) -> Object:
    """What a probe asks."""
    found: Object = container(manifests)[f"{probe}Probe"]["httpGet"]
    return found


def started(manifests: Manifests) -> Object:
    """How Ray's head is started."""
    found: Object = cluster(manifests)["headGroupSpec"]["rayStartParams"]
    return found


NOWHERE = {"matchLabels": {"x": "y"}}
FURTHER: tuple[tuple[str, str, Spoil, str], ...] = (
    ("unknown_flags", "cpu", lambda m: container(m).update(args=["plan"]), "pods serve"),
    ("unknown_flags", "cpu", lambda m: container(m).update(args=["serve", "x"]), "unexpected"),
    ("unknown_flags", "gpu", lambda m: container(m).update(args=["serve", "--port=no"]), "integer"),
    (
        "unknown_flags",
        "gpu",
        lambda m: container(m).update(args=["serve", "--port", "9"]),
        "--port",
    ),
    ("unknown_flags", "cpu", lambda m: container(m).update(command=["sh"]), "command"),
    ("unknown_flags", "ray", lambda m: container(m).update(args=["serve"]), "KubeRay"),
    ("unknown_variables", "cpu", lambda m: container(m).update(envFrom=[]), "envFrom"),
    ("unknown_variables", "gpu", lambda m: container(m)["env"].clear(), "XDG_CACHE_HOME"),
    ("dangling_variables", "cpu", lambda m: container(m)["env"].append({"name": "A"}), "A"),
    ("wrong_probes", "cpu", lambda m: probed(m, "liveness").update(path="/info"), "health"),
    ("wrong_probes", "gpu", lambda m: probed(m, "readiness").update(path="/batch"), "nobody"),
    (
        "wrong_probes",
        "gpu",
        lambda m: probed(m, "readiness").update(path="/tasks/{name}"),
        "nobody",
    ),
    ("wrong_probes", "kserve", lambda m: probed(m, "startup").update(scheme="HTTPS"), "more"),
    ("wrong_probes", "kserve", lambda m: probed(m, "startup").update(host="127.0.0.1"), "more"),
    ("wrong_scrapes", "monitoring", lambda m: scraped(m).update(scheme="https"), "HTTP"),
    ("wrong_scrapes", "monitoring", lambda m: scraped(m).update(scrapeTimeout="30s"), "interval"),
    (
        "wrong_scrapes",
        "monitoring",
        lambda m: m.one("ServiceMonitor")["spec"].update(namespaceSelector={"any": True}),
        "namespaces",
    ),
    (
        "unrestricted_containers",
        "cpu",
        lambda m: container(m)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        "seccompProfile",
    ),
    (
        "unrestricted_containers",
        "cpu",
        lambda m: container(m)["securityContext"].update(runAsGroup=0),
        "another user",
    ),
    (
        "unrestricted_pods",
        "cpu",
        lambda m: template(m)["spec"]["securityContext"].update(supplementalGroups=[0]),
        "supplementalGroups",
    ),
    ("hasty_probes", "cpu", lambda m: container(m)["startupProbe"].update(timeoutSeconds=1), "row"),
    (
        "hasty_probes",
        "gpu",
        lambda m: container(m)["startupProbe"].update(failureThreshold=1),
        "up",
    ),
    (
        "hasty_probes",
        "ray",
        lambda m: container(m)["readinessProbe"].update(failureThreshold=99),
        "late",
    ),
    ("closed_networks", "cpu", lambda m: policy(m).update(ingress=[]), "nobody in to http"),
    ("closed_networks", "cpu", lambda m: policy(m).update(podSelector=NOWHERE), "nobody in"),
    (
        "closed_networks",
        "kserve",
        lambda m: policy(m)["ingress"][0].update({"from": [{"podSelector": NOWHERE}]}),
        "nobody in to http",
    ),
    (
        "closed_networks",
        "gpu",
        lambda m: policy(m)["ingress"][0]["ports"][0].update(protocol="UDP"),
        "nobody in",
    ),
    ("closed_networks", "gpu", lambda m: policy(m)["egress"].pop(0), "names"),
    ("closed_networks", "ray", lambda m: policy(m)["ingress"].pop(0), "nobody in to serve"),
    ("closed_networks", "ray", lambda m: policy(m)["ingress"].pop(1), "apart (from)"),
    ("closed_networks", "ray", lambda m: policy(m)["egress"].pop(0), "apart (to)"),
    ("closed_networks", "ray", lambda m: policy(m)["ingress"].pop(2), "KubeRay"),
    (
        "closed_networks",
        "ray",
        lambda m: policy(m)["ingress"][0]["ports"].append({"port": "dashboard"}),
        "everybody in to dashboard",
    ),
    (
        "unheard_services",
        "cpu",
        lambda m: m.one("Service")["spec"]["ports"][0].update(port=81),
        "port 80",
    ),
    ("unheard_services", "ray", lambda m: m.one("RayService")["spec"].pop("serveService"), "8000"),
    ("unbudgeted_pods", "cpu", lambda m: m.objects.remove(m.one("PodDisruptionBudget")), "no Pod"),
    ("unbudgeted_pods", "gpu", lambda m: budget(m).update(selector={}), "no Pod"),
    ("unbudgeted_pods", "cpu", lambda m: budget(m).update(maxUnavailable=0), "lets none"),
    ("unbudgeted_pods", "ray", lambda m: budget(m).update(minAvailable=2), "lets none"),
    ("unbudgeted_pods", "cpu", lambda m: m.one("Deployment")["spec"].update(replicas=1), "alone"),
    ("odd_scaling", "keda", lambda m: scaled(m).update(threshold="many"), "threshold"),
    ("odd_scaling", "keda", lambda m: scaled(m).update(serverAdress="x"), "serverAdress"),
    ("odd_scaling", "keda", lambda m: scaled(m, 1).update(threshold="512"), "refused at 512"),
    (
        "odd_scaling",
        "keda",
        lambda m: m.one("ScaledObject")["spec"].update(minReplicaCount=20),
        "minReplicaCount",
    ),
    (
        "odd_scaling",
        "keda",
        lambda m: m.one("ScaledObject")["spec"]["triggers"][0].update(type="prometeus"),
        "prometeus",
    ),
    (
        "odd_scaling",
        "ray",
        lambda m: cluster(m)["workerGroupSpecs"][0].update(maxReplicas=1),
        "replicas",
    ),
    ("odd_scaling", "kserve", lambda m: predictor(m).update(minReplicas=9), "minReplicas"),
    ("unknown_series", "keda", lambda m: query(m, 'sum({__name__="polyhead_x"})'), "polyhead_x"),
    ("unserved_models", "kserve", lambda m: container(m).update(name="polyhead"), "kserve-"),
    ("unserved_models", "kserve", lambda m: predictor(m)["model"].update(storageUri="s"), "Uri"),
    (
        "unserved_models",
        "kserve",
        lambda m: predictor(m)["model"]["modelFormat"].update(version="2"),
        "does not read",
    ),
    (
        "unserved_models",
        "kserve",
        lambda m: m.one("InferenceService")["metadata"].pop("annotations"),
        "deploymentMode",
    ),
    (
        "unserved_models",
        "kserve",
        lambda m: m.one("ServingRuntime")["spec"].update(multiModel=True),
        "other models",
    ),
    ("open_clusters", "ray", lambda m: cluster(m).pop("authOptions"), "authOptions"),
    ("open_clusters", "ray", lambda m: started(m).pop("dashboard-host"), "not reached"),
    ("open_clusters", "ray", lambda m: started(m).update({"num-cpus": "4"}), "on it"),
    (
        "open_clusters",
        "ray",
        lambda m: started(m).update({"object-store-memory": "999999999"}),
        "/dev/shm",
    ),
    (
        "open_clusters",
        "ray",
        lambda m: m.one("RayService")["spec"].update(upgradeStrategy={"type": "None"}),
        "upgradeStrategy",
    ),
)
