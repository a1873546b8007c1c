"""Traces leave the server: as OTLP over HTTP, where a setting or the standard variables say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.testclient import TestClient

from adapter_runtime import SettingsError
from serving.settings import load_settings
from serving.tracing.opening import open_traces, wants_traces
from tests.running import free_port
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
)


class Collector:
    """Takes what an exporter sends, on loopback."""

    def __init__(self) -> None:
        received: list[tuple[str, dict[str, str], bytes]] = []

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((self.path, dict(self.headers), body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.received = received
        self._server = HTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def spans(self) -> dict[str, Any]:
        """Everything received, decoded, by the spans' names."""
        messages = [ExportTraceServiceRequest.FromString(body) for _, _, body in self.received]
        return {
            span.name: span
            for message in messages
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def serve_one(**given: str) -> int:
    """The status of one prediction by a server that starts for it, and ends."""
    with TestClient(Server(FakeEngine(), load_settings(**given)).app) as client:
        return client.post("/models/topic", json={"inputs": "a b"}).status_code


def test_spans_arrive_at_a_collector(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what OTEL_EXPORTER_OTLP_ENDPOINT says and nothing else; all of them before the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=mine")
    assert serve_one() == 200
    path, headers, _ = collector.received[0]
    assert (path, headers["api-key"]) == ("/v1/traces", "mine")
    spans = collector.spans()
    assert set(spans) == {
        *("POST /models/{task}", "encode", "queue", "forward", "decode", "batch"),
    }
    assert spans["forward"].parent_span_id == spans["POST /models/{task}"].span_id
    assert spans["forward"].links[0].span_id == spans["batch"].span_id
    assert spans["forward"].links[0].trace_id == spans["batch"].trace_id


@pytest.mark.parametrize("tail", ("", "/", "/v1/traces"))
def test_setting_names_the_collector(collector: Collector, tail: str) -> None:
    """By its address, with or without the path."""
    serve_one(otlp_endpoint=collector.url + tail)
    assert {path for path, _, _ in collector.received} == {"/v1/traces"}


def test_collector_that_is_away_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the server wait long for it when it ends."""
    monkeypatch.setattr("serving.tracing.layer.CLOSE_S", 0.05)
    assert serve_one(otlp_endpoint=f"http://127.0.0.1:{free_port()}") == 200


@pytest.mark.parametrize(
    ("given", "expected"),
    (
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ),
)
def test_standard_variables_switch_traces_on_and_off(
    given: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do for every other program."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert wants_traces(load_settings()) is expected


@pytest.mark.parametrize(
    ("name", "value"),
    (("OTEL_TRACES_EXPORTER", "console"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")),
)
def test_what_there_is_not_is_said(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nothing in silence would be found out on the day that it matters."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"):
        wants_traces(load_settings(otlp_endpoint="http://c:4318"))


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the remedy."""

    def find(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("serving.tracing.opening.find_spec", find)
    with pytest.raises(SettingsError, match=r"POLYHEAD_OTLP_ENDPOINT.*polyhead\[otel\]"):
        open_traces(load_settings(otlp_endpoint="http://c:4318"), "1")
