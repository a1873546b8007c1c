"""Applications to hold ours against: the same, with another router or without retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.serve import Application
from ray.serve.config import RequestRouterConfig

from deploy.ray_serve.application import build as build_ours

_ROUTERS = {"power_of_two": RequestRouterConfig()}
"""Ray's own picks two replicas at random and takes the one with fewer requests."""


def build(given: Mapping[str, Any]) -> Application:
    """The affine topology for options, of which two are the benchmarks' own.

    Args:
        given: as for the application itself; `router`: `affine` or `power_of_two`; `retries`: how
            often a prediction is sent again.
    """
    options = dict(given)
    router, retries = options.pop("router", "affine"), options.pop("retries", 2)
    ingress = build_ours(options)._bound_deployment
    engines = ingress.init_args[0]._bound_deployment
    settings = engines.init_args
    if router in _ROUTERS:
        engines = engines.options(request_router_config=_ROUTERS[router])
    return ingress.bind(engines.bind(*settings), *settings, retries)
