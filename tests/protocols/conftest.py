from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from serving.app import create_app
from serving.metrics import PrometheusRecorder
from serving.settings import load_settings
from tests.protocols.fake_service import FakeService
from tests.protocols.shell import Shell


class Api:
    """The real ASGI app over a FakeService, called in process."""

    def __init__(self, **settings: Any) -> None:
        self.service = FakeService()
        self.app = create_app(self.service, load_settings(**settings), PrometheusRecorder())

    def run(self, use: Callable[[httpx.AsyncClient], Any]) -> Any:
        """Call an async function with a client."""

        async def main() -> Any:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await use(client)

        return asyncio.run(main())

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""

        async def use(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, path, **options)

        response: httpx.Response = self.run(use)
        return response


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def shell(api: Api) -> Iterator[Shell]:
    config = uvicorn.Config(api.app, log_config=None, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        yield Shell(f"http://127.0.0.1:{listener.getsockname()[1]}", api.service)
        server.should_exit = True
        thread.join()
