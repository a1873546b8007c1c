from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from adapter_runtime import Kind, Leaf, Note, TaskSpec
from serving.app import create_app
from serving.catalog.keys import plan_of
from serving.catalog.plans import Broken, TaskFile
from serving.lifecycle.admitting.admission import Admitter
from serving.lifecycle.live.tasks import Tasks
from serving.local_service import LocalService
from serving.metrics import PrometheusRecorder
from serving.settings import Settings, load_settings
from tests.serving.fake_engine import FakeEngine

SPECS = (
    TaskSpec("sentiment", adapter=Leaf("/a/sentiment")),
    TaskSpec("topic", adapter=Leaf("/a/topic")),
    TaskSpec("embed", kind=Kind.FEATURE_EXTRACTION),
    TaskSpec("qa", adapter=Leaf("/a/qa"), kind=Kind.QUESTION_ANSWERING),
    TaskSpec("tags", adapter=Leaf("/a/tags"), kind=Kind.TOKEN_CLASSIFICATION),
    TaskSpec("sick", adapter=Leaf("/a/broken")),
)
FILE = TaskFile(
    "fake", tuple(map(plan_of, SPECS)), (Broken("misspelt", "adaptor is no known key."),)
)


class Known(dict[str, tuple[Note, ...]]):
    """Verdicts in memory."""

    def find(self, key: str) -> tuple[Note, ...] | None:
        """What was kept."""
        return self.get(key)

    def keep(self, key: str, problems: tuple[Note, ...]) -> None:
        """Keep it."""
        self[key] = problems


class Server:
    """A LocalService over a FakeEngine behind the real ASGI app, called in process.

    Args:
        engine: answers.
        settings: of the server.
        file: its tasks.
        is_admitted: whether they are read and checked before anybody asks.
    """

    def __init__(
        self,
        engine: FakeEngine,
        settings: Settings,
        file: TaskFile = FILE,
        is_admitted: bool = True,
    ) -> None:
        self.engine = engine
        self.recorder = PrometheusRecorder()
        self.tasks = Tasks()
        self.verdicts = Known()
        self.admitter = Admitter(
            engine, self.tasks, self.verdicts, settings.load_threads, settings.quarantine_s
        )
        self.service = LocalService(engine, self.tasks, self.admitter, settings, self.recorder)
        self.app = create_app(self.service, settings, self.recorder)
        new = self.tasks.apply(file)
        for version in new if is_admitted else ():
            self.admitter.start(version).result(30)

    def run(self, use: Callable[[httpx.AsyncClient], Any]) -> Any:
        """Call an async function with a client of the started server."""

        async def main() -> Any:
            await self.service.start()
            try:
                transport = httpx.ASGITransport(self.app)
                async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                    return await use(client)
            finally:
                await asyncio.to_thread(self.service.stop)

        return asyncio.run(main())

    def post(self, path: str, **options: Any) -> httpx.Response:
        """One POST request."""

        async def use(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post(path, **options)

        response: httpx.Response = self.run(use)
        return response

    def get(self, path: str) -> httpx.Response:
        """One GET request."""

        async def use(client: httpx.AsyncClient) -> httpx.Response:
            return await client.get(path)

        response: httpx.Response = self.run(use)
        return response


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    if engine.gate is not None:
        engine.gate.set()


@pytest.fixture
def server(engine: FakeEngine) -> Server:
    return Server(engine, load_settings())


@pytest.fixture
def make_server(engine: FakeEngine) -> Callable[..., Server]:
    return lambda **settings: Server(engine, load_settings(**settings))
