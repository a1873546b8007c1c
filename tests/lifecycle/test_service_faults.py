"""Requests while versions fail, clients go and the server stops: nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from adapter_runtime import RejectedAdapter, RowFailed, VersionFailed
from serving.catalog.plans import RollbackRule
from serving.errors import (
    DeadlineExceeded,
    Draining,
    Quarantined,
    StillLoading,
    refusal,
)
from serving.local_service import LocalService
from serving.service import Answer
from tests.lifecycle.living import file_of, numbered, task_plan, version_plan
from tests.lifecycle.requests import Living, ask, call, so
from tests.serving.fake_engine import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_a_guilty_version_does_not_harm_its_batch(engine: FakeEngine) -> None:
    """Others in its batch are answered; it is 503 until it was checked again."""
    server = Living(engine, file_of(numbered("1"), numbered("1", name="other")), quarantine_s=0.05)

    async def use(service: LocalService) -> Answer:
        await asyncio.gather(*ask(service, "a"), *ask(service, "a", task="other"))
        engine.guilty.add("digest-topic-1")
        other = ask(service, "a", "b", task="other")
        with pytest.raises(RowFailed):
            await service.answer(call())
        assert len(await asyncio.gather(*other)) == 2
        with pytest.raises(Quarantined) as caught:
            await service.answer(call())
        assert refusal(caught.value).status == 503
        engine.guilty.clear()
        await so(lambda: server.version("v1").is_ready)
        return await service.answer(call())

    assert server.play(use).version == "v1"
    assert server.version("v1").traffic.view().errors == 1


def test_a_check_on_a_broken_device_is_no_verdict(engine: FakeEngine) -> None:
    """It would be remembered for the next start; the version is tried again soon instead."""
    engine.fails = RuntimeError("launch failure")
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> None:
        with pytest.raises(RejectedAdapter, match="device"):
            await service.answer(call())

    server.play(use)
    assert server.verdicts == {}
    assert server.version("v1").retry_at_s is not None


def test_rows_that_wait_for_a_guilty_version_fail_with_it(engine: FakeEngine) -> None:
    """None of them runs; those of others do."""
    file = file_of(numbered("1"), numbered("1", name="other"))
    server = Living(engine, file, max_batch_rows=1)

    async def use(service: LocalService) -> tuple[list[BaseException | Answer], int]:
        await asyncio.gather(*ask(service, "a"), *ask(service, "a", task="other"))
        engine.gate = threading.Event()
        engine.guilty.add("digest-topic-1")
        guilty, others = ask(service, *["a"] * 20), ask(service, "a", task="other")
        await so(lambda: service._pipeline.loop.num_rows == 20)
        ran = len(engine.batches)
        engine.gate.set()
        failed = await asyncio.gather(*guilty, return_exceptions=True)
        await asyncio.gather(*others)
        return failed, len(engine.batches) - ran

    failed, num_batches = server.play(use)
    assert all(isinstance(each, VersionFailed) for each in failed)
    assert num_batches < 20


def test_slow_loads_leave_room_for_warm_tasks(engine: FakeEngine) -> None:
    """Half of all may wait for an admission; one more is told to come back."""
    server = Living(engine, file_of(numbered("1"), numbered("1", name="warm")), max_requests=4)

    async def use(service: LocalService) -> list[Answer]:
        await service.answer(call(task="warm"))
        engine.reading = threading.Event()
        waiting = ask(service, "a", "b")
        await so(lambda: service.num_inside == 2)
        with pytest.raises(StillLoading):
            await service.answer(call())
        warm = await service.answer(call(task="warm"))
        engine.reading.set()
        return [warm, *await asyncio.gather(*waiting)]

    assert [answer.version for answer in server.play(use)] == ["v1"] * 3
    assert server.service.num_inside == 0


def test_draining_sends_away_who_waits_for_a_load(engine: FakeEngine) -> None:
    """Another server is faster; whoever computes is answered."""
    engine.reading = threading.Event()
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> None:
        waiting = ask(service, "a", "b")
        await so(lambda: service.num_inside == 2)
        service.drain()
        for each in waiting:
            with pytest.raises(Draining):
                await each
        with pytest.raises(Draining):
            await service.answer(call())
        assert engine.reading is not None
        engine.reading.set()

    server.play(use)
    assert server.service.num_inside == 0


def test_a_client_that_goes_holds_nothing(engine: FakeEngine) -> None:
    """Cancelled while it waits or while its rows run."""
    engine.reading, engine.gate = threading.Event(), threading.Event()
    server = Living(engine, file_of(numbered("1")))

    async def gone(inside: asyncio.Task[Answer]) -> None:
        inside.cancel()
        with pytest.raises(asyncio.CancelledError):
            await inside

    async def use(service: LocalService) -> None:
        (waiting,) = ask(service, "a")
        await so(lambda: service.num_inside == 1)
        await gone(waiting)
        assert engine.reading is not None
        assert engine.gate is not None
        engine.reading.set()
        (running,) = ask(service, "a")
        engine.gate.set()
        await running
        engine.gate.clear()
        (running,) = ask(service, "a")
        await so(lambda: server.version("v1").in_flight == 1)
        await gone(running)
        engine.gate.set()

    server.play(use)
    assert server.version("v1").in_flight == 0
    assert server.service.num_inside == 0


def test_clients_mistakes_are_no_errors_of_a_version(engine: FakeEngine) -> None:
    """Nor is a deadline: only what it does wrong itself counts."""
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> None:
        await service.answer(call())
        for text in ("", " "):
            with pytest.raises(Exception, match="empty"):
                await service.answer(call(text))
        engine.run_s = 0.2
        with pytest.raises(DeadlineExceeded):
            await service.answer(call(deadline_s=0.05))

    server.play(use)
    traffic = server.version("v1").traffic.view()
    assert (traffic.requests, traffic.errors) == (1, 0)


def test_a_version_that_trips_its_rule_is_rolled_back_once(engine: FakeEngine) -> None:
    """By whoever keeps the catalog; the reason has the figures."""
    rule = RollbackRule(error_rate=0.5, min_requests=2)
    plan = task_plan(version_plan("1"), version_plan("2"), rollback=rule)
    server = Living(engine, file_of(plan))
    asked: list[tuple[str, str, str]] = []
    server.service.roll_back = lambda *what: asked.append(what)

    async def use(service: LocalService) -> None:
        await service.answer(call())
        engine.guilty.add("digest-topic-2")
        for _ in range(3):
            server.version("v2").traffic.failed()
            server.service._judge.look(server.version("v2"))
        await so(lambda: bool(asked))

    server.play(use)
    assert [each[:2] for each in asked] == [("topic", "v2")]
    assert "error rate 1" in asked[0][2]


def test_shadows_get_copies_that_nobody_waits_for(engine: FakeEngine) -> None:
    """They are compared, and the answer is that of the version that serves."""
    plan = task_plan(version_plan("1"), version_plan("2", shadow=True))
    server = Living(engine, file_of(plan))

    async def use(service: LocalService) -> Answer:
        await service.answer(call())
        await so(lambda: server.version("v2").is_ready)
        answer = await service.answer(call())
        await so(lambda: server.version("v2").traffic.view().compared > 0)
        return answer

    assert server.play(use).version == "v1"
    assert server.version("v2").in_flight == 0
    assert server.version("v2").traffic.view().requests > 0


def test_failures_in_the_background_lose_no_request(engine: FakeEngine) -> None:
    """An engine that cannot evict or retire, and listeners that raise."""

    class Stubborn(FakeEngine):
        def evict(self, version: Any) -> None:
            raise ZeroDivisionError("surprise")

        def retire(self, version: Any) -> None:
            raise MemoryError

    server = Living(Stubborn(), file_of(numbered("1")))
    server.admitter.heard = lambda *_: 1 / 0

    async def use(service: LocalService) -> list[str]:
        seen = []
        for mark in ("1", "2", "3", "4"):
            server.tasks.apply(file_of(numbered(mark)))
            seen.append((await service.answer(call(version=f"v{mark}"))).version)
        return seen

    assert server.play(use) == ["v1", "v2", "v3", "v4"]


def test_weights_that_are_lost_let_the_older_version_answer(engine: FakeEngine) -> None:
    """The one request that found out gets the reason, the next one an answer."""
    server = Living(engine, file_of(numbered("1", "2")))

    async def use(service: LocalService) -> Answer:
        await service.answer(call())
        engine.cold.add("digest-topic-2")
        engine.load_fails = True
        with pytest.raises(Exception, match="files are gone") as caught:
            await service.answer(call())
        assert refusal(caught.value).status == 424
        return await service.answer(call())

    assert server.play(use).version == "v1"
    assert server.version("v2").state == "rejected"


def test_pages_tell_what_is_so(engine: FakeEngine) -> None:
    """The answering version's facts, each version's share, and what happened."""
    plan = task_plan(
        version_plan("1", weight=75),
        version_plan("2", weight=25),
        version_plan("3", folder="broken", weight=0),
    )
    server = Living(engine, file_of(plan, numbered("1", name="idle")))

    async def use(service: LocalService) -> None:
        await service.answer(call())
        await so(lambda: server.version("v2").is_ready)
        with pytest.raises(RejectedAdapter):
            await service.answer(call(version="v3"))
        service.measure()

    server.play(use)
    page = asyncio.run(server.service.task("topic"))
    assert (page.state, page.version, page.kind) == ("ready", "v1", "text-classification")
    assert [each.share for each in page.versions] == [0.75, 0.25, 0.0]
    assert [each.state for each in page.versions] == ["ready", "ready", "rejected"]
    assert page.versions[2].reasons[0].code == "missing_tensor"
    assert page.versions[0].adapter == "/a/topic@1"
    assert page.versions[0].traffic.requests == 1
    assert [event.what for event in page.events] == ["ready", "ready", "rejected"]
    idle = asyncio.run(server.service.task("idle"))
    assert (idle.state, idle.versions[0].residency) == ("pending", None)
    shown = server.recorder.exposition().decode()
    assert 'polyhead_tasks{state="pending"} 1.0' in shown
