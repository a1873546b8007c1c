"""Every check by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.kubernetes import schemas
from tests.kubernetes.checks import bounds, names, ray, reaching, references, security, stopping
from tests.kubernetes.manifests import Manifests

Check = Callable[[Manifests], Iterator[str]]
CHECKS: tuple[Check, ...] = (
    schemas.core_problems,
    names.unknown_variables,
    names.unknown_flags,
    names.wrong_ports,
    names.wrong_probes,
    names.wrong_scrapes,
    names.unknown_series,
    names.wrong_images,
    references.dangling_volumes,
    references.dangling_variables,
    references.dangling_ports,
    references.dangling_selectors,
    references.dangling_targets,
    security.unrestricted_pods,
    security.unrestricted_containers,
    security.unwritable_folders,
    security.open_networks,
    stopping.hasty_ends,
    stopping.hasty_probes,
    stopping.misfitting_resources,
    ray.other_configuration,
    ray.small_nodes,
    ray.blocked_drains,
    reaching.closed_networks,
    reaching.unheard_services,
    bounds.unbudgeted_pods,
    bounds.odd_scaling,
    bounds.unserved_models,
    bounds.open_clusters,
)
BY_NAME = {check.__name__: check for check in CHECKS}
