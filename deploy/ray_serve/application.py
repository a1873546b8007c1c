"""The Serve application: what `import_path: deploy.ray_serve.application:build` builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve.config import (
    AutoscalingConfig,
    AutoscalingPolicy,
    BackpressureConfig,
    RequestRouterConfig,
)
from ray.serve.schema import LoggingConfig

from deploy.ray_serve.ingress import Ingress
from deploy.ray_serve.options import RayOptions, load_options
from deploy.ray_serve.replica import Replica
from deploy.ray_serve.server import Server
from serving.opening import THREAD_PLAN
from serving.settings import Settings

if TYPE_CHECKING:
    from ray.serve.deployment import Application, Deployment

ROUTER = "deploy.ray_serve.router:AffineRouter"
POLICY = "deploy.ray_serve.scaling:QueuedTokensPolicy"
_RETRY_AFTER_S = 1.0
_INGRESS_CPUS = 0.1
"""What Ray sets aside; an ingress takes what is free."""
_STOP_S = 10.0
"""After the last answer a replica writes down what it knows, and frees its device."""
_TRIES = 3
"""Of a replica that does not start; what is wrong then does not mend itself."""
_STATS_PERIOD_S = 1.0
_LOOK_BACK_S = 15.0
"""Longer than the 10 s after which a proxy tells anew what it has waiting."""
_PUSHED = {
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
}
"""Of our own processes: at Ray's 10 s, a burst is over before it is known."""


def build(given: Mapping[str, Any]) -> Application:
    """The application for options as a configuration's `args` state them.

    Raises:
        SettingsError: an option is unknown or wrong; names it.
    """
    return assemble(load_options(given))


def assemble(options: RayOptions) -> Application:
    """The application for checked options.

    Raises:
        SettingsError: a setting of the service is unknown or wrong.
    """
    settings = options.service_settings()
    build_topology = _whole if options.topology == "whole" else _affine
    return build_topology(options, settings)


def engine_name(options: RayOptions) -> str:
    """The deployment whose replicas have engines."""
    return (Server if options.topology == "whole" else Replica).__name__


def _whole(options: RayOptions, settings: Settings) -> Application:
    server = _deployment(serve.ingress()(Server), Server, _engine_options(options, settings))
    return server.bind(settings)


def _affine(options: RayOptions, settings: Settings) -> Application:
    router = RequestRouterConfig.model_validate(
        {"request_router_class": ROUTER, "request_routing_stats_period_s": _STATS_PERIOD_S}
    )
    engine = {**_engine_options(options, settings), "request_router_config": router}
    thin = {
        **_common(options, settings),
        "num_replicas": options.ingress_replicas,
        "ray_actor_options": {
            "num_cpus": _INGRESS_CPUS,
            "runtime_env": {"env_vars": dict(_PUSHED)},
        },
        # An ingress holds what all replicas have, and what waits for them.
        "max_ongoing_requests": options.max_ongoing_requests * options.max_replicas
        + options.max_queued_requests,
    }
    replicas = _deployment(Replica, Replica, engine).bind(settings)
    ingress = _deployment(serve.ingress()(Ingress), Ingress, thin)
    return ingress.bind(replicas, settings, options.retries)


def _deployment(made: Any, named: type, options: Mapping[str, Any]) -> Deployment:
    deployment: Deployment = serve.deployment(name=named.__name__, **options)(made)
    return deployment


def _engine_options(options: RayOptions, settings: Settings) -> dict[str, Any]:
    """What deployments with an engine have in common."""
    return {
        **_replicas(options),
        **_common(options, settings),
        "max_ongoing_requests": options.max_ongoing_requests,
        "ray_actor_options": {
            "num_cpus": options.num_cpus,
            "num_gpus": options.num_gpus,
            "runtime_env": {"env_vars": _variables(options)},
        },
    }


def _common(options: RayOptions, settings: Settings) -> dict[str, Any]:
    return {
        "max_queued_requests": options.max_queued_requests,
        "backpressure_config": BackpressureConfig(status_code=429, retry_after_s=_RETRY_AFTER_S),
        "graceful_shutdown_timeout_s": options.drain_s + _STOP_S,
        "health_check_period_s": options.health_period_s,
        "health_check_timeout_s": options.health_timeout_s,
        "max_constructor_retry_count": _TRIES,
        "max_surge_percent": options.surge_percent,
        "logging_config": LoggingConfig(
            log_level=settings.log_level, enable_access_log=settings.access_log
        ),
    }


def _replicas(options: RayOptions) -> dict[str, Any]:
    if options.is_fixed:
        return {"num_replicas": options.min_replicas}
    scaling: dict[str, Any] = {
        "min_replicas": options.min_replicas,
        "max_replicas": options.max_replicas,
        "initial_replicas": options.initial_replicas,
        "upscale_delay_s": options.upscale_delay_s,
        "downscale_delay_s": options.downscale_delay_s,
        "look_back_period_s": _LOOK_BACK_S,
    }
    if options.scale_on == "requests":
        scaling["target_ongoing_requests"] = options.target_requests
    else:
        scaling["policy"] = AutoscalingPolicy.model_validate(
            {"policy_function": POLICY, "policy_kwargs": {"target_tokens": options.target_tokens}}
        )
    return {"autoscaling_config": AutoscalingConfig(**scaling)}


def _variables(options: RayOptions) -> dict[str, str]:
    """Of a replica's process: libraries read them when they load."""
    plan = {**_PUSHED, **THREAD_PLAN, "OMP_NUM_THREADS": str(options.num_threads)}
    # Ray's releases differ in whether they hide GPUs from who asked for none.
    return plan if options.num_gpus else {**plan, "CUDA_VISIBLE_DEVICES": ""}
