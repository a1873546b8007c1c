"""Numbers that bound how many there are: budgets, scaling, groups; and what operators can run."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kubernetes import code
from tests.kubernetes.checks.references import fits
from tests.kubernetes.checks.stopping import amount
from tests.kubernetes.manifests import Manifests, Object, Pod, place, variables

TRIGGER = {"serverAddress", "query", "threshold", "ignoreNullValues"}
MODES = {"Standard", "RawDeployment"}
"""KServe's mode without Knative, under its name since 0.16 and the one before."""
KEY = "serving.kserve.io/deploymentMode"


def unbudgeted_pods(manifests: Manifests) -> Iterator[str]:
    """Pods that a drained node may take all at once, or not at all; a head is one of its kind."""
    for pod in manifests.pods():
        budgets = [
            each["spec"]
            for each in manifests.of("PodDisruptionBudget")
            if fits(each["spec"]["selector"], pod.labels)
        ]
        if not budgets and not pod.where.endswith("/head"):
            yield f"{pod.where}: no PodDisruptionBudget is about it"
        for spec in budgets:
            least = spec.get("minAvailable", 0)
            if spec.get("maxUnavailable", 1) == 0 or least == "100%" or least not in (0, 1):
                yield f"{pod.where}: its PodDisruptionBudget lets none go, or cannot be told to"
    for each in manifests.of("Deployment"):
        if each["spec"].get("replicas", 2) < 2:
            yield f"{place(each)}: one pod alone is away whenever it is replaced"


def odd_scaling(manifests: Manifests) -> Iterator[str]:
    """Bounds that cross, and triggers that never fire or that KEDA does not know."""
    for each in manifests.of("ScaledObject"):
        spec = each["spec"]
        if not 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]:
            yield f"{place(each)}: minReplicaCount"
        for trigger in spec["triggers"]:
            yield from (f"{trigger['name']}: {text}" for text in _odd_trigger(manifests, trigger))
    for each in manifests.of("RayService"):
        for group in each["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
            if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
                yield f"{place(each)}: {group['groupName']}: replicas"
    for each in manifests.of("InferenceService"):
        predictor = each["spec"]["predictor"]
        if not 1 <= predictor["minReplicas"] <= predictor["maxReplicas"]:
            yield f"{place(each)}: minReplicas"


def _odd_trigger(manifests: Manifests, trigger: Object) -> Iterator[str]:
    given = trigger["metadata"]
    if trigger["type"] != "prometheus":
        yield f"type {trigger['type']}"
    if given.keys() ^ TRIGGER:
        yield f"metadata {sorted(given.keys() ^ TRIGGER)}"
    threshold = given.get("threshold", "")
    if not threshold.isdecimal() or int(threshold) < 1:
        yield f"threshold {threshold!r}"
    elif "polyhead_requests_inside" in given["query"]:
        for pod in manifests.pods():
            settings, _ = code.settings_of(variables(pod.spec["containers"][0]))
            if int(threshold) >= settings.max_requests:
                yield f"threshold {threshold}: requests are refused at {settings.max_requests}"


def unserved_models(manifests: Manifests) -> Iterator[str]:
    """What KServe would start otherwise than is meant, or not at all."""
    for each in manifests.of("ServingRuntime"):
        spec = each["spec"]
        if spec.get("multiModel") or spec.get("disabled"):
            yield f"{place(each)}: is disabled, or loads other models"
        if [one["name"] for one in spec["containers"]] != ["kserve-container"]:
            yield f"{place(each)}: KServe starts the container kserve-container"
    for each in manifests.of("InferenceService"):
        model = each["spec"]["predictor"]["model"]
        if each["metadata"].get("annotations", {}).get(KEY) not in MODES:
            yield f"{place(each)}: {KEY} is none of {sorted(MODES)}"
        if "storageUri" in model:
            yield f"{place(each)}: storageUri: the catalog says where adapters are"
        runtimes = {one["metadata"]["name"]: one["spec"] for one in manifests.of("ServingRuntime")}
        formats = runtimes.get(model["runtime"], {}).get("supportedModelFormats", ())
        wanted = model["modelFormat"]
        if not any(wanted.items() <= one.items() for one in formats):
            yield f"{place(each)}: its runtime does not read {wanted}"


def open_clusters(manifests: Manifests) -> Iterator[str]:
    """A Ray whose head runs what anybody sends, is not reached, or takes more than it has."""
    for each in manifests.of("RayService"):
        cluster = each["spec"]["rayClusterConfig"]
        if each["spec"]["upgradeStrategy"] != {"type": "NewCluster"}:
            yield f"{place(each)}: upgradeStrategy: a change would end the cluster that serves"
        if cluster.get("authOptions") != {"mode": "token"}:
            yield f"{place(each)}: authOptions: the cluster takes anybody's work"
        started = cluster["headGroupSpec"]["rayStartParams"]
        if (started.get("dashboard-host"), started.get("num-cpus")) != ("0.0.0.0", "0"):
            yield f"{place(each)}: the head is not reached, or has replicas on it"
        groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        for group, pod in zip(groups, manifests.pods(), strict=True):
            store = int(group["rayStartParams"]["object-store-memory"])
            if store > _shared(pod):
                yield f"{pod.where}: /dev/shm is smaller than object-store-memory"
        for group in cluster["workerGroupSpecs"]:
            if "num-cpus" in group["rayStartParams"]:
                yield f"{place(each)}: {group['groupName']}: num-cpus is the container's limit"


def _shared(pod: Pod) -> int:
    """Bytes of /dev/shm."""
    volumes = {each["name"]: each for each in pod.spec["volumes"]}
    for _, container in pod.containers():
        for mount in container["volumeMounts"]:
            if mount["mountPath"] == "/dev/shm":
                return int(amount(volumes[mount["name"]]["emptyDir"]["sizeLimit"]))
    return 0
