"""A service over a FakeEngine whose tasks wait for their first use, and requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from serving.catalog.plans import TaskFile
from serving.lifecycle.live.version import Version
from serving.local_service import LocalService
from serving.service import Answer, Call
from serving.settings import load_settings
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

Use = Callable[[LocalService], Awaitable[Any]]


class Living(Server):
    """A server whose tasks wait for their first use."""

    def __init__(self, engine: FakeEngine, file: TaskFile, **settings: Any) -> None:
        super().__init__(engine, load_settings(**settings), file, is_admitted=False)

    def play(self, use: Use) -> Any:
        """Call an async function with the started service."""

        async def with_client(_: Any) -> Any:
            return await use(self.service)

        return self.run(with_client)

    def version(self, id: str, name: str = "topic") -> Version:
        """A live version."""
        return self.tasks.find(name).find(id)


def call(text: str = "a b", task: str = "topic", **given: Any) -> Call:
    """A Call of one input."""
    return Call(task, [text], **given)


def ask(service: LocalService, *texts: str, **given: Any) -> list[asyncio.Task[Answer]]:
    """Calls on their way."""
    return [asyncio.ensure_future(service.answer(call(text, **given))) for text in texts]


async def so(is_so: Callable[[], bool]) -> None:
    """Wait for what other threads bring about."""
    for _ in range(6000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("It never came about.")
