"""What Ray is told about our deployments, read from the built application."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.ray_serve.application import build


def deployments(**given: Any) -> dict[str, Any]:
    """The configuration of each deployment by its name."""
    from ray.serve._private.build_app import build_app

    built = build_app(build(given), name="polyhead")
    return {each.name: each for each in built.deployments}


def test_each_topology_has_its_deployments() -> None:
    """A whole server, or an ingress and what it asks."""
    assert {"Server"} == set(deployments(topology="whole"))
    assert {"Ingress", "Replica"} == set(deployments(topology="affine"))


@pytest.mark.parametrize("topology", ("whole", "affine"))
def test_what_is_full_says_429_and_when_to_come_back(topology: str) -> None:
    """Back-pressure is told the way that clients understand."""
    for each in deployments(topology=topology, max_queued_requests=7).values():
        config = each._deployment_config
        assert 7 == config.max_queued_requests
        assert 429 == config.backpressure_config.status_code
        assert config.backpressure_config.retry_after_s > 0


def test_ray_waits_longer_than_the_drain() -> None:
    """A replica that may take its time to answer is not killed meanwhile."""
    server = deployments(drain_s=50)["Server"]
    assert server._deployment_config.graceful_shutdown_timeout_s > 50


def test_equal_bounds_fix_the_number_of_replicas() -> None:
    """Nothing is scaled that cannot be."""
    config = deployments(min_replicas=3, max_replicas=3)["Server"]._deployment_config
    assert (3, None) == (config.num_replicas, config.autoscaling_config)


@pytest.mark.parametrize("topology", ("whole", "affine"))
def test_queued_tokens_scale_by_our_policy(topology: str) -> None:
    """Its target is the operator's."""
    found = deployments(topology=topology, max_replicas=3, target_tokens=100)
    engine = found["Server" if topology == "whole" else "Replica"]
    policy = engine._deployment_config.autoscaling_config.policy
    assert "deploy.ray_serve.scaling:QueuedTokensPolicy" == policy.policy_function
    assert {"target_tokens": 100} == policy.policy_kwargs


def test_requests_scale_by_rays_own_policy() -> None:
    """Its target is the operator's."""
    found = deployments(max_replicas=3, scale_on="requests", target_requests=9)["Server"]
    scaling = found._deployment_config.autoscaling_config
    assert (1, 3, 9) == (
        scaling.min_replicas,
        scaling.max_replicas,
        scaling.target_ongoing_requests,
    )


def test_engine_replicas_are_routed_by_task() -> None:
    """The ingress is not: a proxy of another kind would ignore it there."""
    found = deployments(topology="affine")
    routers = {
        name: str(each._deployment_config.request_router_config.request_router_class)
        for name, each in found.items()
    }
    assert "AffineRouter" in routers["Replica"]
    assert "AffineRouter" not in routers["Ingress"]


def test_libraries_find_their_threads_planned_when_they_load() -> None:
    """Set in the replica's environment, before its process starts."""
    server = deployments(num_cpus=2)["Server"]
    variables = server.ray_actor_options["runtime_env"]["env_vars"]
    assert ("2", "PASSIVE", "") == (
        variables["OMP_NUM_THREADS"],
        variables["OMP_WAIT_POLICY"],
        variables["CUDA_VISIBLE_DEVICES"],
    )
    gpu = deployments(num_gpus=1)["Server"].ray_actor_options
    assert 1 == gpu["num_gpus"]
    assert "CUDA_VISIBLE_DEVICES" not in gpu["runtime_env"]["env_vars"]
