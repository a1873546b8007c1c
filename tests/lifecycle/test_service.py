"""Requests while versions come, change and go: each ends in an answer or an error."""

from __future__ import annotations

import asyncio
import threading

import pytest

from adapter_runtime import RejectedAdapter, Residency, UnknownTask
from serving.catalog.plans import Broken
from serving.errors import (
    DeadlineExceeded,
    StillLoading,
    UnknownVersion,
    VersionRetired,
)
from serving.local_service import LocalService
from serving.service import Answer
from tests.lifecycle.living import file_of, numbered, task_plan, version_plan
from tests.lifecycle.requests import Living, ask, call, so
from tests.serving.fake_engine import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_the_first_request_waits_for_its_version(engine: FakeEngine) -> None:
    """A hundred at once wait for one reading; the next ones find it on the device."""
    server = Living(engine, file_of(numbered("1", "2")))

    async def use(service: LocalService) -> list[Answer]:
        first = await asyncio.gather(*ask(service, *["a"] * 100))
        return [*first, await service.answer(call())]

    answers = server.play(use)
    assert {answer.version for answer in answers} == {"v2"}
    assert [engine.calls.count(("read", "topic")), len(engine.batches) > 0] == [1, True]
    assert answers[0].residency is Residency.ABSENT
    assert answers[-1].residency is Residency.DEVICE


def test_who_does_not_wait_hears_how_long_it_takes(engine: FakeEngine) -> None:
    """And the admission begins all the same, so that a later try is answered."""
    engine.reading = threading.Event()
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> Answer:
        with pytest.raises(StillLoading) as caught:
            await service.answer(call(waits=False))
        assert caught.value.retry_after_s > 0
        assert engine.reading is not None
        engine.reading.set()
        await so(lambda: server.version("v1").is_ready)
        return await service.answer(call(waits=False))

    assert server.play(use).version == "v1"


def test_a_slow_admission_ends_with_the_deadline(engine: FakeEngine) -> None:
    """The request is over; the version is ready for the next one."""
    engine.reading = threading.Event()
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> Answer:
        with pytest.raises(DeadlineExceeded):
            await service.answer(call(deadline_s=0.05))
        assert engine.reading is not None
        engine.reading.set()
        return await service.answer(call())

    assert server.play(use).version == "v1"
    assert server.version("v1").in_flight == 0


def test_versions_are_asked_for_by_their_ids(engine: FakeEngine) -> None:
    """Known, unknown, retired, refused; also before any file was read."""
    plan = task_plan(
        version_plan("1"), version_plan("2", folder="broken"), version_plan("3", id=None)
    )
    server = Living(engine, file_of(plan))
    server.tasks.find("topic").retired.append("v0")

    async def use(service: LocalService) -> list[str]:
        for id, error in (
            ("v0", VersionRetired),
            ("v2", RejectedAdapter),
            ("v9", UnknownVersion),
        ):
            with pytest.raises(error):
                await service.answer(call(version=id))
        answers = [await service.answer(call(version=id)) for id in ("v1", "v3")]
        return [answer.version for answer in answers]

    assert server.play(use) == ["v1", "v3"]


def test_a_replacement_under_load_loses_nothing(engine: FakeEngine) -> None:
    """Each of fifty requests is answered by the version that its header names."""
    server = Living(engine, file_of(numbered("1")), max_batch_rows=4)

    async def use(service: LocalService) -> list[Answer]:
        await service.answer(call())
        engine.gate = threading.Event()
        old = ask(service, *["a"] * 50)
        await so(lambda: server.version("v1").in_flight == 50)
        left = server.version("v1")
        server.tasks.apply(file_of(numbered("2")))
        new = ask(service, "b", version="v2")
        engine.gate.set()
        answers = await asyncio.gather(*old, *new)
        await so(lambda: left.state == "retired")
        return [*answers, await service.answer(call())]

    answers = server.play(use)
    assert [answer.version for answer in answers] == ["v1"] * 50 + ["v2"] * 2
    for answer in answers:
        assert answer.outputs[0][0]["label"] == f"topic-{answer.version[1:]}"
    assert not engine.strays
    assert ("retire", "digest-topic-1") in engine.calls


def test_a_deleted_task_answers_who_is_inside(engine: FakeEngine) -> None:
    """Later ones get 404; its weights go with the last answer."""
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> list[Answer]:
        await service.answer(call())
        engine.gate = threading.Event()
        inside = ask(service, "a", "b", "c")
        await so(lambda: server.version("v1").in_flight == 3)
        server.tasks.apply_one("topic", None)
        with pytest.raises(UnknownTask):
            await service.answer(call())
        engine.gate.set()
        answers = await asyncio.gather(*inside)
        await so(lambda: engine.uses["digest-topic-1"] == 0)
        return list(answers)

    assert [answer.version for answer in server.play(use)] == ["v1"] * 3
    assert not engine.strays


def test_a_broken_edit_keeps_serving(engine: FakeEngine) -> None:
    """Whether the entry is broken or what it names; the page says so."""
    server = Living(engine, file_of(numbered("1")))

    async def use(service: LocalService) -> list[str]:
        seen = [(await service.answer(call())).version]
        server.tasks.apply(file_of(broken=(Broken("topic", "no such key.", "e2"),)))
        seen.append((await service.answer(call())).version)
        assert (await service.task("topic")).reason == "no such key."
        server.tasks.apply(file_of(numbered("2", folder="broken")))
        await so(lambda: server.version("v2").state == "rejected")
        return [*seen, (await service.answer(call())).version]

    assert server.play(use) == ["v1", "v1", "v1"]
