"""The application of a thin ingress and engine replicas, on a cluster: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from benchmarks.ray_cluster import RayCluster
from tests.faults.site import CLAIMS
from tests.ray.cluster.conftest import Deployed, crowd, deployed, scale, until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def running(cluster: RayCluster, options: Mapping[str, Any]) -> Iterator[Deployed]:
    """Two ingresses, two engine replicas."""
    with deployed(cluster, {**options, "ingress_replicas": 2}, "affine") as found:
        yield found


@pytest.fixture
def app(running: Deployed) -> Deployed:
    """With all its replicas, whatever the test before has changed."""
    running.take()
    return running


def test_every_proxy_answers(app: Deployed) -> None:
    """Wherever the ingress is that it asks."""
    for node in {*app.nodes, next(iter(app.cluster.nodes))}:
        url = app.cluster.proxy_of(node)
        answer = app.site.client.post(f"{url}/models/sentiment", json={"inputs": "A good film."})
        assert answer.json()[0][0]["label"] == "positive", (node, answer.text)
        assert "," not in answer.headers["x-request-id"]


def test_a_killed_replica_costs_nothing(app: Deployed) -> None:
    """What was inside it is sent to another one."""
    with app.under_load(clients=8, rest_s=0) as heard:
        until(lambda: heard.num_answered > 20)
        dead = app.cluster.kill("Replica")
        answered = heard.num_answered
        until(lambda: heard.num_answered > answered + 50)
    app.cluster.wait_until_runs(without=[dead.id])
    assert heard.num_lost == 0, heard.failures


def test_a_drained_node_costs_nothing(app: Deployed) -> None:
    """Its replicas move to another node before they go."""
    with app.under_load() as heard:
        app.cluster.add_node()
        app.leave(app.cluster.running("Replica")[0].node)
        answered = heard.num_answered
        until(lambda: heard.num_answered > answered + 20)
    assert heard.num_lost == 0, heard.failures


def test_an_update_under_load_loses_nothing(app: Deployed) -> None:
    """All replicas and ingresses are replaced."""
    with app.under_load() as heard:
        app.renew()
        answered = heard.num_answered
        until(lambda: heard.num_answered > answered + 20)
    assert heard.num_lost == 0, heard.failures


def test_a_change_is_seen_on_every_replica_when_it_is_answered(app: Deployed) -> None:
    """Nobody has to wait until they look at the catalog by themselves."""
    assert app.site.put("added", adapter=CLAIMS, id="1").status_code == 201
    assert app.answers("added") == {"1"}
    assert app.site.client.delete("/tasks/added").status_code == 204
    assert app.answers("added") == {"unknown_task"}


def test_a_swap_is_seen_on_every_replica(app: Deployed) -> None:
    """Once the new version is ready, and the first request on each has admitted it."""
    app.site.make("swapped", "1")
    app.site.make("swapped", "2", CLAIMS)
    until(lambda: app.answers("swapped") == {"2"}, lambda: app.answers("swapped"))
    assert app.site.client.delete("/tasks/swapped").status_code == 204


def test_replicas_that_are_full_say_when_to_come_again(app: Deployed) -> None:
    """429 with Retry-After, from the ingress or the proxy before it; whoever got in is answered."""
    heard = crowd(app)
    assert {*heard.statuses} == {200, 429}
    assert {*heard.retry_after} == {"1"}


def test_the_number_of_replicas_follows_the_tokens_that_wait(app: Deployed) -> None:
    """Fewer where hardly anybody asks, more when a queue forms; nothing is lost either way."""
    assert not scale(app, scale_on="tokens", target_tokens=10).failures
