"""Many changes under many requests: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest

from adapter_runtime import PolyheadError, UnknownTask
from serving.errors import refusal
from serving.local_service import LocalService
from tests.lifecycle.living import file_of, numbered, task_plan, version_plan
from tests.lifecycle.requests import Living, call, so
from tests.serving.fake_engine import FakeEngine

NAMES = ("a", "b", "c")


def check_nothing_is_left(server: Living, engine: FakeEngine) -> None:
    """Without tasks nobody holds anything."""
    assert not +engine.uses
    assert not +engine.holds
    assert not engine.strays
    assert server.service.num_inside == 0


def test_replacements_under_load_lose_nothing_and_leave_nothing() -> None:
    """A hundred versions one after another, sixteen clients: each answer is its version's."""
    engine = FakeEngine()
    server = Living(engine, file_of(numbered("0")))
    seen: set[str] = set()

    async def client(service: LocalService, stop: asyncio.Event) -> None:
        while not stop.is_set():
            answer = await service.answer(call())
            assert answer.outputs[0][0]["label"] == f"topic-{answer.version[1:]}"
            seen.add(answer.version)

    async def use(service: LocalService) -> None:
        stop = asyncio.Event()
        clients = [asyncio.ensure_future(client(service, stop)) for _ in range(16)]
        await so(lambda: "v0" in seen)
        for number in range(1, 101):
            server.tasks.apply(file_of(numbered(str(number))))
            new = server.version(f"v{number}")
            await so(lambda new=new: new.is_ready)  # type: ignore[misc]
        await so(lambda: "v100" in seen)
        stop.set()
        await asyncio.gather(*clients)
        await so(lambda: +engine.uses == {"digest-topic-100": 1})
        server.tasks.apply(file_of())
        await so(lambda: not +engine.uses)

    server.play(use)
    assert len(seen) > 10
    check_nothing_is_left(server, engine)


@pytest.mark.parametrize("seed", range(3))
def test_any_mix_of_changes_and_faults_ends_every_request(seed: int) -> None:
    """Edits, broken edits, deletions, poison, lost weights, clients that go: a code for each."""
    engine, dice = FakeEngine(read_s=0.001), random.Random(seed)
    server = Living(engine, file_of(*(numbered("0", name=name) for name in NAMES)))
    server.admitter.outcomes._quarantine_s = 0.02
    ends: list[int] = []

    def change() -> None:
        name, mark = dice.choice(NAMES), str(dice.randrange(30))
        folder = dice.choice(("a", "a", "a", "broken", "wrong", "wide", "absent"))
        other = version_plan(str(30 + dice.randrange(30)), name, shadow=dice.random() < 0.3)
        plan = task_plan(other, version_plan(mark, name, folder, weight=dice.choice((None, 1, 2))))
        server.tasks.apply_one(name, plan if dice.random() < 0.9 else None)
        engine.guilty = {f"digest-{name}-{mark}"} if dice.random() < 0.2 else set()
        if dice.random() < 0.2:
            engine.cold.add(f"digest-{name}-{mark}")

    async def client(service: LocalService, number: int) -> None:
        for _ in range(60):
            request = service.answer(
                call(task=NAMES[number % 3], deadline_s=5, waits=number % 4 > 0)
            )
            try:
                await asyncio.wait_for(request, 0.01 if number == 0 else None)
                ends.append(200)
            except PolyheadError as error:
                ends.append(refusal(error).status)
            except TimeoutError:
                ends.append(499)
            await asyncio.sleep(0.001)

    async def changes() -> None:
        for _ in range(80):
            change()
            await asyncio.sleep(0.004)

    async def use(service: LocalService) -> None:
        clients = (client(service, number) for number in range(12))
        await asyncio.gather(changes(), *clients)
        server.tasks.apply(file_of())
        await so(lambda: not +engine.uses)

    server.play(use)
    assert len(ends) == 12 * 60
    assert set(ends) <= {200, 404, 424, 499, 500, 503}
    assert ends.count(200) > 100
    check_nothing_is_left(server, engine)


def test_a_task_that_comes_and_goes_many_times_is_one_task() -> None:
    """Made and deleted without a pause, each time another one, and the last one answers."""
    engine = FakeEngine()
    server = Living(engine, file_of())

    async def use(service: LocalService) -> Any:
        for _ in range(30):
            server.tasks.apply(file_of(numbered("1")))
            asking = asyncio.ensure_future(service.answer(call()))
            await asyncio.sleep(0)
            server.tasks.apply(file_of())
            with suppress(UnknownTask):
                await asking
        server.tasks.apply(file_of(numbered("1")))
        answer = await service.answer(call())
        await so(lambda: +engine.uses == {"digest-topic-1": 1})
        return answer

    assert server.play(use).version == "v1"
