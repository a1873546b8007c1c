"""The application whose replicas are full servers, on a cluster: what clients and operators see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from benchmarks.ray_cluster import RayCluster
from tests.faults.site import CLAIMS, SENTIMENT
from tests.ray.cluster.conftest import CLIENTS, Deployed, crowd, deployed, scale, until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def running(cluster: RayCluster, options: Mapping[str, Any]) -> Iterator[Deployed]:
    """Two servers."""
    with deployed(cluster, options, "whole") as found:
        yield found


@pytest.fixture
def app(running: Deployed) -> Deployed:
    """With all its replicas, whatever the test before has changed."""
    running.take()
    return running


def test_every_proxy_answers(app: Deployed) -> None:
    """The head's and those of the nodes that have replicas; each answer has one request id."""
    for node in {*app.nodes, next(iter(app.cluster.nodes))}:
        url = app.cluster.proxy_of(node)
        answer = app.site.client.post(f"{url}/models/sentiment", json={"inputs": "A good film."})
        assert answer.json()[0][0]["label"] == "positive", (node, answer.text)
        assert "," not in answer.headers["x-request-id"]


def test_a_killed_server_costs_only_what_was_inside_it(app: Deployed) -> None:
    """Ray's proxy sends nothing twice; what comes later goes to the other server."""
    with app.under_load() as heard:
        until(lambda: heard.num_answered > 20)
        dead = app.cluster.kill("Server")
        app.cluster.wait_until_runs(without=[dead.id])
        answered = heard.num_answered
        until(lambda: heard.num_answered > answered + 20)
    assert heard.num_lost <= CLIENTS, heard.failures
    assert {*heard.statuses} <= {200, 500}


def test_an_update_under_load_loses_nothing(app: Deployed) -> None:
    """All servers are replaced, one after the other."""
    with app.under_load() as heard:
        app.renew()
        answered = heard.num_answered
        until(lambda: heard.num_answered > answered + 20)
    assert heard.num_lost == 0, heard.failures


def test_what_one_server_changes_all_servers_follow(app: Deployed) -> None:
    """A task that is added, replaced and deleted through the proxy, whichever server it met."""
    for version, adapter in (("1", SENTIMENT), ("2", CLAIMS)):
        assert app.site.put("added", adapter=adapter, id=version).status_code in (200, 201)
        until(lambda version=version: versions(app) == {version}, lambda: versions(app))
        until(lambda version=version: is_answered_by_all(app, version))
    assert app.site.client.delete("/tasks/added").status_code == 204
    until(lambda: {app.site.ask("added").status_code for _ in range(20)} == {404})


def versions(app: Deployed) -> set[str]:
    """Of the answers to some requests, which Ray deals out at random."""
    return {app.site.ask("added").headers.get("x-task-version", "") for _ in range(20)}


def is_answered_by_all(app: Deployed, version: str) -> bool:
    """Whether every server has answered with the version; asks once more."""
    assert app.site.ask("added").headers["x-task-version"] == version
    of = {"task": "added", "version": version, "result": "ok"}
    return servers(app) <= app.samples("polyhead_version_requests_total", **of).keys()


def servers(app: Deployed) -> set[str]:
    """Their ids."""
    return {each.id for each in app.on("Server")}


def test_servers_that_are_full_say_when_to_come_again(app: Deployed) -> None:
    """429 with Retry-After, from Ray's proxy; whoever got in is answered."""
    heard = crowd(app)
    assert {*heard.statuses} == {200, 429}
    assert {*heard.retry_after} == {"1"}


def test_rays_exporter_shows_our_metrics(app: Deployed) -> None:
    """Each with the server that it is of."""

    def counted() -> Mapping[str, float]:
        app.site.ask("sentiment")
        return app.samples("polyhead_requests_total", task="sentiment", status="200")

    until(lambda: servers(app) <= counted().keys(), counted)
    assert servers(app) <= app.samples("polyhead_compute_seconds_count").keys()


def test_the_number_of_servers_follows_the_requests(app: Deployed) -> None:
    """Fewer where hardly anybody asks, more when many do; nothing is lost either way."""
    assert not scale(app, scale_on="requests", target_requests=2).failures
