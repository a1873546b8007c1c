from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.metrics import PrometheusRecorder
from serving.settings import load_settings
from tests.protocols.fake_service import FakeService


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
