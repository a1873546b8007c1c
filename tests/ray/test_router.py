"""Ray's request router around the choice of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, RequestMetadata
from ray.serve.request_router import PendingRequest, ReplicaID

from deploy.ray_serve.affinity import rank
from deploy.ray_serve.router import REFUSED, RESIDENT, AffineRouter, task_of
from serving.service import Call

NAME = DeploymentID("Replica", "polyhead")


class FakeRunning:
    """What the router sees of a replica.

    Args:
        id: its name.
        stats: what it reports.
        load: requests that it has.
        room: requests that it takes.
    """

    def __init__(
        self, id: str, stats: Mapping[str, Any] | None = None, load: int = 0, room: int = 100
    ) -> None:
        self.replica_id = ReplicaID(id, NAME)
        self.routing_stats = stats
        self.max_ongoing_requests = room
        self.load = load

    async def get_queue_len(self, *, deadline_s: float) -> int:
        """As a replica answers a probe."""
        return self.load


def request(*args: Any) -> PendingRequest:
    """A request on its way to a replica."""
    metadata = RequestMetadata(request_id="r", internal_request_id="i", call_method="answer")
    return PendingRequest(args=list(args), kwargs={}, metadata=metadata, future=asyncio.Future())


async def order(replicas: list[FakeRunning], *args: Any, **bounds: Any) -> list[str]:
    """The replicas' names, best first."""
    router = AffineRouter(NAME, DeploymentHandleSource.REPLICA, use_replica_queue_len_cache=True)
    router.initialize_state(**bounds)
    router.update_replicas(replicas)  # type: ignore[arg-type]
    for each in replicas:
        router.replica_queue_len_cache.update(each.replica_id, each.load)
    pending = request(*args)
    found = await router.choose_replicas(replicas, pending)  # type: ignore[arg-type]
    assert pending.routing_context.should_backoff
    assert all(len(rank) == 1 for rank in found)
    return [rank[0].replica_id.unique_id for rank in found]


@pytest.mark.parametrize(
    ("args", "task"),
    (((Call("topic", ["x"]),), "topic"), (("topic", "1"), "topic"), ((), None), ((3,), None)),
)
def test_the_task_is_read_from_the_first_argument(args: tuple[Any, ...], task: str | None) -> None:
    """A Call says it, as does a name; views of all tasks name none."""
    loop = asyncio.new_event_loop()
    try:
        metadata = RequestMetadata(request_id="r", internal_request_id="i", call_method="m")
        future = loop.create_future()
        assert task_of(PendingRequest(list(args), {}, metadata, future=future)) == task
    finally:
        loop.close()
    assert task_of(None) is None


async def test_a_task_goes_where_its_weights_are() -> None:
    """What replicas report decides, whatever the hashes say; who refuses it comes last."""
    for resident, refused in (("a", "b"), ("b", "c"), ("c", "a")):
        stats: dict[str, dict[str, list[str]]] = {each: {} for each in "abc"}
        stats[resident][RESIDENT] = ["topic"]
        stats[refused][REFUSED] = ["topic"]
        found = await order([FakeRunning(id, stats[id]) for id in "abc"], Call("topic", ["x"]))
        assert (found[0], found[-1]) == (resident, refused)


async def test_replicas_that_report_nothing_are_ranked_by_hash_and_load() -> None:
    """One that has just started has no figures yet, and takes part."""
    replicas = [FakeRunning("a", None), FakeRunning("b", {}), FakeRunning("c", {"other": 1})]
    assert sorted(await order(replicas, "topic")) == ["a", "b", "c"]
    first = (await order(replicas, "topic"))[0]
    replicas["abc".index(first)].load = 90
    assert (await order(replicas, "topic"))[0] != first


async def test_requests_for_no_task_go_to_the_least_loaded() -> None:
    """Nothing draws them anywhere else."""
    replicas = [FakeRunning(id, load=load) for id, load in (("a", 5), ("b", 0), ("c", 9))]
    assert await order(replicas) == ["b", "a", "c"]


async def test_the_bound_can_be_set() -> None:
    """A deployment's options reach the ranking."""
    replicas = [FakeRunning("a", {RESIDENT: ["topic"]}, load=10), FakeRunning("b")]
    assert await order(replicas, "topic") == ["b", "a"]
    assert await order(replicas, "topic", floor=50) == ["a", "b"]
    assert rank("topic", []) == []
