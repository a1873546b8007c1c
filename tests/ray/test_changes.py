"""The life cycle over replicas."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.ray_serve.changes import RemoteLifeCycle
from deploy.ray_serve.relaying import ReplicaLost
from deploy.ray_serve.replica import Replica
from deploy.ray_serve.retrying import Lost, Patience
from serving.errors import Relayed, ServerBusy, VersionConflict
from tests.protocols.fake_service import FakeService
from tests.ray.fake_replicas import FakeReplicas


def over(replicas: FakeReplicas) -> RemoteLifeCycle:
    """The life cycle over replicas."""
    patience = Patience(tries=3, wait_s=0.001)
    return RemoteLifeCycle(replicas, patience, lambda: None, lambda: bool(replicas.services))


CHANGES: dict[str, tuple[Any, ...]] = {
    "put": ("topic", {"adapter": "./x"}),
    "delete": ("topic",),
    "act": ("topic", "1", "promote"),
    "set_traffic": ("topic", {"1": 1.0}, ()),
}


@pytest.mark.parametrize("method", CHANGES)
async def test_all_replicas_look_before_a_change_is_answered(method: str) -> None:
    """Whoever asks next finds it, wherever the request goes."""
    replicas = FakeReplicas([FakeService(), FakeService()])
    await getattr(over(replicas), method)(*CHANGES[method])
    assert replicas.methods() == [method, "all:look"]


@pytest.mark.parametrize("method", CHANGES)
async def test_a_change_survives_its_replica(method: str) -> None:
    """What may be made twice is made again when nobody said how it ended."""
    replicas = FakeReplicas([FakeService()], raises=[Lost("gone")], begins=True)
    await getattr(over(replicas), method)(*CHANGES[method])
    assert replicas.methods() == [method, method, "all:look"]


@pytest.mark.parametrize(
    ("method", "args"),
    (
        ("put", ("topic", {}, "e0")),
        ("delete", ("topic", None, "e0")),
        ("act", ("topic", "1", "promote", "e0")),
        ("act", ("topic", "1", "rollback")),
        ("set_traffic", ("topic", None, (), "e0")),
    ),
)
async def test_what_must_not_be_made_twice_is_not(method: str, args: tuple[Any, ...]) -> None:
    """A guarded change may have been made: the client is told to look."""
    replicas = FakeReplicas([FakeService()], raises=[Lost("gone")])
    with pytest.raises(ReplicaLost, match="GET the task"):
        await getattr(over(replicas), method)(*args)
    assert replicas.methods() == [method]


async def test_what_is_deleted_at_the_second_try_was_deleted_at_the_first() -> None:
    """The lost replica had done it; for a first try it is the client's mistake."""
    lost = FakeReplicas([FakeService()], raises=[Lost("gone")], begins=True)
    await over(lost).delete("topic")
    with pytest.raises(Relayed, match="no task named"):
        await over(FakeReplicas([FakeService()])).delete("nope")


async def test_weights_are_evicted_everywhere() -> None:
    """No replica keeps what was to go."""
    services = [FakeService(), FakeService()]
    replicas = FakeReplicas(list(services))
    await over(replicas).act("topic", "1", "evict")
    assert [service.calls[-1][0] for service in services] == ["evict", "evict"]
    with pytest.raises(Relayed):
        await over(replicas).act("nope", "1", "evict")


async def test_a_refused_change_is_refused() -> None:
    """The replica's word stands, and nobody looks."""
    replicas = FakeReplicas([FakeService(raises=VersionConflict("It is at e1, not at e0."))])
    with pytest.raises(Relayed, match="not at e0"):
        await over(replicas).put("topic", {}, "e0")
    assert replicas.methods() == ["put"]


async def test_no_change_waits_for_replicas_that_are_not_there() -> None:
    """Where nobody could make it, that is said at once."""
    with pytest.raises(ServerBusy, match="No replica"):
        await over(FakeReplicas([])).put("topic", {})


def test_replicas_have_every_method_that_is_asked_of_them() -> None:
    """A name that is wrong would be found only when it is needed."""
    asked = {"answer", "tasks", "task", "check", "vitals", "names", "look"} | CHANGES.keys()
    assert asked <= set(dir(Replica))
