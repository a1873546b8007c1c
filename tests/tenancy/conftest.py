from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import yaml
from starlette.datastructures import Headers
from starlette.types import Message

from serving.admission.keys import hashed, new_secret
from serving.app import create_app
from serving.metrics import PrometheusRecorder
from serving.service import Answer, Call, Service
from serving.settings import load_settings
from tests.protocols.fake_service import FakeService

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Keys:
    """A keys file whose secrets are known here.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secrets: dict[str, str] = {}
        self._entries: dict[str, dict[str, Any]] = {}
        self._write()

    def add(self, name: str, **fields: Any) -> str:
        """One key more, or another in its place; its secret."""
        secret = self.secrets[name] = new_secret()
        self._entries[name] = {"name": name, "hash": hashed(secret), **fields}
        self._write()
        return secret

    def remove(self, name: str) -> None:
        """One key less."""
        del self._entries[name]
        self._write()

    def _write(self) -> None:
        """As operators should: whole or not at all."""
        draft = self.path.with_suffix(".new")
        draft.write_text(yaml.safe_dump({"keys": list(self._entries.values())}))
        draft.replace(self.path)


class Telling(FakeService):
    """A FakeService that keeps whole Calls, and answers with some tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Call] = []
        self.num_tokens = 7

    async def start(self) -> None:
        """Nothing to get ready."""

    def stop(self) -> None:
        """Nothing to end."""

    def measure(self) -> None:
        """Nothing to measure."""

    async def answer(self, call: Call) -> Answer:
        """As the other, with tokens."""
        self.asked.append(call)
        return replace(await super().answer(call), num_tokens=self.num_tokens)


class Guarded:
    """The real application with keys, over a service that remembers what it was asked.

    Args:
        keys: of the server.
        behind: what answers; by default the service itself.
        settings: of the server.
    """

    def __init__(self, keys: Keys, behind: Service | None = None, **settings: Any) -> None:
        self.keys = keys
        self.service = Telling()
        self.recorder = PrometheusRecorder()
        found = load_settings(keys=str(keys.path), **settings)
        self.app = create_app(behind or self.service, found, self.recorder)

    def run(self, use: Callable[[httpx.AsyncClient], Any], root_path: str = "") -> Any:
        """Call an async function with a client."""

        async def main() -> Any:
            transport = httpx.ASGITransport(self.app, root_path=root_path)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await use(client)

        return asyncio.run(main())

    def __call__(
        self, method: str, path: str, key: str = "", root_path: str = "", **options: Any
    ) -> httpx.Response:
        """One request, with a key by its name."""
        (answer,) = self.all([(method, path)], key, root_path, **options)
        return answer

    def all(
        self, asked: Sequence[tuple[str, str]], key: str = "", root_path: str = "", **options: Any
    ) -> list[httpx.Response]:
        """Requests of method and path, one after the other."""
        headers = dict(options.pop("headers", NOTHING))
        if key:
            headers["authorization"] = f"Bearer {self.keys.secrets[key]}"

        async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
            return [await client.request(*each, headers=headers, **options) for each in asked]

        answers: list[httpx.Response] = self.run(use, root_path)
        return answers

    def raw(
        self, asked: Sequence[tuple[str, str]], key: str = "", root_path: str = ""
    ) -> list[tuple[int, Headers]]:
        """Status and headers of requests whose paths nobody puts straight, as uvicorn hands on."""
        shown = [(b"x-api-key", self.keys.secrets[key].encode())] if key else []

        async def main() -> list[tuple[int, Headers]]:
            return [await self._raw(*each, shown, root_path) for each in asked]

        return asyncio.run(main())

    async def _raw(
        self, method: str, target: str, shown: list[tuple[bytes, bytes]], root_path: str
    ) -> tuple[int, Headers]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "http_version": "1.1", "scheme": "http", "query_string": b""}
        scope |= {"method": method, "path": unquote(target), "raw_path": target.encode()}
        scope |= {"headers": [(b"host", b"test"), *shown], "root_path": root_path}
        await self.app(scope, receive, send)
        return sent[0]["status"], Headers(raw=sent[0]["headers"])

    def predict(self, key: str, task: str = "topic", **options: Any) -> httpx.Response:
        """One prediction."""
        return self("POST", f"/models/{task}", key, json={"inputs": "a"}, **options)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    found = Keys(tmp_path / "keys.yaml")
    for action in ("predict", "admin", "metrics"):
        found.add(action, actions=[action])
    found.add("all", actions=["predict", "admin", "metrics"])
    found.add("new", actions=["predict", "admin", "metrics"], tasks=["new*"])
    return found


@pytest.fixture
def guarded(keys: Keys) -> Guarded:
    return Guarded(keys, default_task="topic")  # so that its routes at the root are there too
