"""The ingress's Service: requests, their losses and limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapter_runtime import UnknownTask
from deploy.ray_serve.relaying import ReplicaLost
from deploy.ray_serve.remote import RemoteService
from deploy.ray_serve.retrying import Lost, Patience
from serving.errors import (
    DeadlineExceeded,
    DeviceFailed,
    Draining,
    Overloaded,
    Relayed,
    ServerBusy,
    StillLoading,
    refusal,
)
from serving.metrics import PrometheusRecorder
from serving.recent import Batch
from serving.service import Call
from tests.protocols.fake_service import FakeService
from tests.ray.fake_replicas import FakeReplicas

QUICK = Patience(tries=3, wait_s=0.001)
CALL = Call("topic", ["x"], deadline_s=5.0)


class Recent(FakeService):
    """A replica that has run some batches, which began then."""

    def __init__(self, began_s: list[float]) -> None:
        super().__init__()
        self.began_s = began_s

    async def batches(self, last: int) -> list[Batch]:
        """All."""
        return [
            Batch("0" * 32, began_s, 0.0, 0.01, 0.0, 1, 2, 1, 1, 0, ("a",), "r/compute-0")
            for began_s in self.began_s
        ]


@asynccontextmanager
async def remote(replicas: FakeReplicas) -> AsyncIterator[tuple[RemoteService, PrometheusRecorder]]:
    """A started service over replicas, and its recorder."""
    recorder = PrometheusRecorder()
    service = RemoteService(replicas, recorder, QUICK)
    await service.start()
    try:
        yield service, recorder
    finally:
        service.stop()


@pytest.mark.parametrize("lost", (0, 1, 2))
async def test_a_prediction_survives_its_replicas(lost: int) -> None:
    """It is asked again, each further try is counted, and the client sees one answer."""
    replicas = FakeReplicas([FakeService()], raises=[Lost("gone")] * lost)
    async with remote(replicas) as (service, recorder):
        answer = await service.answer(CALL)
    assert answer.version == "1"
    shown = recorder.exposition().decode()
    assert f"polyhead_retries_total {float(lost)}" in shown
    assert 'polyhead_requests_total{status="200",task="topic"} 1.0' in shown


async def test_a_prediction_that_loses_every_replica_is_refused() -> None:
    """Tries are bounded, and the error says what to do."""
    replicas = FakeReplicas([FakeService()], raises=[Lost("gone")] * 9)
    async with remote(replicas) as (service, _):
        with pytest.raises(ReplicaLost, match="send the request again") as caught:
            await service.answer(CALL)
    assert replicas.methods().count("answer") == QUICK.tries
    assert (refusal(caught.value).status, refusal(caught.value).retry_after_s) == (503, 1.0)


async def test_a_stopping_replica_is_left_for_another() -> None:
    """A request that reaches a replica too late is not refused for it."""
    service = FakeService(raises=Draining("It stops.", 1.0))
    replicas = FakeReplicas([service])

    async def recover() -> None:
        await asyncio.sleep(0)
        service.raises = None

    async with remote(replicas) as (ingress, _):
        recovery = asyncio.ensure_future(recover())
        assert (await ingress.answer(CALL)).version == "1"
        await recovery


async def test_refusals_come_through_unchanged() -> None:
    """What a replica says is what the client hears."""
    error = Overloaded("All permits are taken.", 2.5)
    async with remote(FakeReplicas([FakeService(raises=error)])) as (service, recorder):
        with pytest.raises(Relayed) as caught:
            await service.answer(CALL)
    assert refusal(caught.value) == refusal(error)
    assert b'polyhead_errors_total{code="overloaded",task="-"} 1.0' in recorder.exposition()


async def test_no_room_anywhere_is_429() -> None:
    """Ray's own back-pressure is told like ours, and not tried again."""
    replicas = FakeReplicas([FakeService()], raises=[Overloaded("All are full.", 1.0)])
    async with remote(replicas) as (service, _):
        with pytest.raises(Overloaded) as caught:
            await service.answer(CALL)
    assert refusal(caught.value).status == 429
    assert replicas.methods().count("answer") == 1


async def test_the_deadline_holds_where_no_replica_answers() -> None:
    """A replica that hangs costs the client no more than its deadline; its work is ended."""
    replicas = FakeReplicas([FakeService()], gate=asyncio.Event())
    async with remote(replicas) as (service, _):
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            await service.answer(Call("topic", ["x"], deadline_s=0.05))
    assert replicas.cancelled == ["answer"]


async def test_a_client_that_leaves_ends_the_work_on_the_replica() -> None:
    """Nothing is computed for nobody, and it counts as a client that left."""
    replicas = FakeReplicas([FakeService()], gate=asyncio.Event())
    async with remote(replicas) as (service, recorder):
        request = asyncio.ensure_future(service.answer(CALL))
        while "answer" not in replicas.methods():
            await asyncio.sleep(0)
        assert service.num_inside == 1
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert service.num_inside == 0
    assert replicas.cancelled == ["answer"]
    assert b'code="client_gone"' in recorder.exposition()


async def test_a_draining_ingress_refuses() -> None:
    """What comes while it stops is sent elsewhere."""
    async with remote(FakeReplicas([FakeService()])) as (service, _):
        service.drain()
        with pytest.raises(Draining):
            await service.answer(CALL)


@pytest.mark.parametrize(
    ("replicas", "is_warm"),
    (
        (FakeReplicas([FakeService(), FakeService(is_warm=False)]), True),
        (FakeReplicas([FakeService(is_warm=False)]), False),
        (FakeReplicas([]), False),
    ),
    ids=("one of two", "none yet", "none at all"),
)
async def test_it_is_ready_when_a_replica_is(replicas: FakeReplicas, is_warm: bool) -> None:
    """Readiness follows the replicas, and /info counts them."""
    async with remote(replicas) as (service, _):
        assert service.is_warm is is_warm
        assert service.facts["num_replicas"] == len(replicas.services)


async def test_who_does_not_wait_is_told_when_nothing_is_up() -> None:
    """Without replicas, a request that must not wait gets 503 and a time."""
    async with remote(FakeReplicas([])) as (service, _):
        with pytest.raises(StillLoading):
            await service.answer(Call("topic", ["x"], waits=False))
        with pytest.raises(ServerBusy):
            await service.task("topic")
        with pytest.raises(ServerBusy):
            await service.check()


async def test_an_unknown_task_keeps_its_type() -> None:
    """Protocols tell it apart from other errors; its words are the replica's."""
    async with remote(FakeReplicas([FakeService()])) as (service, _):
        with pytest.raises(UnknownTask) as caught:
            await service.task("nope")
    assert refusal(caught.value) == refusal(UnknownTask("nope"))


async def test_views_survive_a_replica_that_hangs() -> None:
    """Where not all answer in time, one of them does."""
    replicas = FakeReplicas([FakeService()])
    async with remote(replicas) as (service, _):
        replicas.hangs = True
        assert (await service.task("topic")).name == "topic"
        assert {view.name for view in await service.tasks()} == {"topic", "new"}


async def test_it_lives_while_one_device_computes() -> None:
    """Only when no replica computes can a restart help."""
    sick, fine = FakeService(), FakeService()

    async def fail() -> None:
        raise DeviceFailed("The device does not compute.", 5.0)

    sick.check = fail  # type: ignore[method-assign]
    async with remote(FakeReplicas([sick, fine])) as (service, _):
        await service.check()
        fine.check = fail  # type: ignore[method-assign]
        with pytest.raises(Relayed, match="does not compute"):
            await service.check()


async def test_what_was_measured_for_tasks_that_are_gone_is_dropped() -> None:
    """Labels are few: those of deleted tasks make room."""
    fake = FakeService()
    async with remote(FakeReplicas([fake])) as (service, recorder):
        await service.answer(CALL)
        await service.forget()
        assert b'task="topic"' in recorder.exposition()
        del fake.views["topic"]
        await service.forget()
        assert b'task="topic"' not in recorder.exposition()


async def test_replicas_that_are_too_busy_to_tell_have_not_gone() -> None:
    """Under a load that delays their answers, the ingress stays ready; when they go, it is not."""
    replicas = FakeReplicas([FakeService()])
    async with remote(replicas) as (service, _):
        replicas.hangs = True
        await service.look_around(1.0)
        assert service.is_warm
        replicas.hangs = False
        replicas.services.clear()
        await service.look_around(1.0)
        assert not service.is_warm


async def test_batches_of_all_replicas_stand_in_one_list() -> None:
    """The newest first, and no more than were asked for."""
    early, late = Recent([1.0, 4.0]), Recent([2.0, 3.0])
    async with remote(FakeReplicas([early, late])) as (service, _):
        found = await service.batches(3)
    assert [batch.began_s for batch in found] == [4.0, 3.0, 2.0]


@pytest.mark.parametrize("replicas", (FakeReplicas([]), FakeReplicas([FakeService()], hangs=True)))
async def test_batches_that_cannot_be_had_are_refused(replicas: FakeReplicas) -> None:
    """No replica, or one that takes too long: neither is an empty list."""
    async with remote(replicas) as (service, _):
        with pytest.raises(ServerBusy, match="try again"):
            await service.batches(3)
