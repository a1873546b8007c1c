"""Servers whose spans are kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving.app import create_app
from serving.settings import load_settings
from serving.tracing.layer import Traces
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

Request = tuple[str, str, dict[str, Any]]
"""Method, path and options of httpx."""


class Traced(NamedTuple):
    """A server and the spans that it makes."""

    server: Server
    exporter: InMemorySpanExporter

    def ask(self, *requests: Request) -> list[httpx.Response]:
        """The answers to some requests, one after the other."""

        async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
            return [await client.request(method, path, **more) for method, path, more in requests]

        answers: list[httpx.Response] = self.server.run(use)
        return answers

    def spans(self, name: str = "") -> Sequence[ReadableSpan]:
        """Those that have ended, of one name or all, in the order in which they began."""
        found = [span for span in self.exporter.get_finished_spans() if name in ("", span.name)]
        return sorted(found, key=lambda span: span.start_time or 0)

    def span(self, name: str) -> ReadableSpan:
        """The only one of that name."""
        (found,) = self.spans(name)
        return found


def predict(inputs: Any = "a b", task: str = "topic", **headers: str) -> Request:
    """A prediction."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return "POST", f"/models/{task}", {"json": {"inputs": inputs}, "headers": headers}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(run_s=0.002)


@pytest.fixture
def make_traced(engine: FakeEngine) -> Callable[..., Traced]:
    def make(**given: Any) -> Traced:
        exporter = InMemorySpanExporter()
        settings = load_settings(**given)
        server = Server(engine, settings)
        traces = Traces(SimpleSpanProcessor(exporter), "1.2.3")
        server.app = create_app(server.service, settings, server.recorder, traces=traces)
        return Traced(server, exporter)

    return make


@pytest.fixture
def traced(make_traced: Callable[..., Traced]) -> Traced:
    return make_traced()
