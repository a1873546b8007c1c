"""A request's trace: from the socket to the forward, in the words of the conventions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from serving.logs import RequestIdFilter
from tests.serving.fake_engine import FakeEngine
from tests.tracing.conftest import Traced, predict

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENTED = f"00-{TRACE}-{PARENT}-01"


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_prediction_is_a_server_span_with_its_stages_below(traced: Traced) -> None:
    """In the order in which they happen, inside the request, none before the one before."""
    traced.ask(predict())
    server = traced.span("POST /models/{task}")
    stages = [traced.span(name) for name in ("encode", "queue", "forward", "decode")]
    assert server.kind is SpanKind.SERVER
    assert [stage.parent for stage in stages] == [server.context] * 4
    moments = [moment for stage in stages for moment in times(stage)]
    slack = 5_000_000  # two clocks: a forward's own, and the wall's
    assert all(late - early > -slack for early, late in pairwise(moments))
    assert times(server)[0] - slack <= moments[0]
    assert moments[-1] <= times(server)[1] + slack
    assert times(stages[2])[1] - times(stages[2])[0] >= 2_000_000


def test_request_is_told_by_the_semantic_conventions(traced: Traced) -> None:
    """Without its query, its body and its keys."""
    headers = {"user_agent": "me/1", "x_api_key": "s3cret", "x_request_id": "mine-1"}
    method, path, more = predict("a b c", **headers)
    traced.ask((method, f"{path}?version=v1", more))
    found = told(traced.span("POST /models/{task}"))
    assert (
        found.items()
        >= {
            "http.request.method": "POST",
            "http.route": "/models/{task}",
            "http.response.status_code": 200,
            "url.path": "/models/topic",
            "url.scheme": "http",
            "network.protocol.version": "1.1",
            "server.address": "test",
            "user_agent.original": "me/1",
            "client.address": "127.0.0.1",
            "polyhead.request_id": "mine-1",
            "polyhead.task": "topic",
            "polyhead.version": "v1",
            "polyhead.tokens": 3,
        }.items()
    )
    assert "s3cret" not in str([span.to_json() for span in traced.spans()])
    assert "a b c" not in str([span.to_json() for span in traced.spans()])


def test_server_is_named(traced: Traced) -> None:
    """As OpenTelemetry's own variables say, else by ours."""
    traced.ask(predict())
    assert traced.spans()[0].resource.attributes["service.name"] == "polyhead"
    assert traced.spans()[0].resource.attributes["service.version"] == "1.2.3"


@pytest.mark.parametrize(
    ("name", "value"),
    (("OTEL_SERVICE_NAME", "mine"), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,team=a")),
)
def test_operators_name_their_service(
    name: str, value: str, make_traced: Callable[..., Traced], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs wins."""
    monkeypatch.setenv(name, value)
    traced = make_traced()
    traced.ask(predict())
    assert traced.spans()[0].resource.attributes["service.name"] == "mine"


def test_client_s_trace_goes_on(traced: Traced) -> None:
    """Its trace id, its span as the parent, and the state of other vendors untouched."""
    traced.ask(predict(traceparent=PARENTED, tracestate="other=1,more=2"))
    server = traced.span("POST /models/{task}")
    assert trace_of(server) == TRACE
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == PARENT
    assert server.context is not None
    assert server.context.trace_state.to_header() == "other=1,more=2"
    assert trace_of(traced.span("encode")) == TRACE


@pytest.mark.parametrize(
    "garbage",
    (
        "",
        "x",
        PARENTED[:-3],
        PARENTED.replace(TRACE, "0" * 32),
        PARENTED.replace(PARENT, "0" * 16),
        f"ff{PARENTED[2:]}",
        PARENTED.replace("4", "G"),
        "\u00ff" * 55,
        f"{PARENTED}{'-x' * 5000}",
    ),
)
def test_garbage_begins_a_new_trace(garbage: str, traced: Traced) -> None:
    """And costs nobody an answer."""
    method, path, more = predict()
    raw = {"traceparent": garbage.encode("latin-1"), "tracestate": b"=,=;\xff"}
    (answer,) = traced.ask((method, path, more | {"headers": raw}))
    assert answer.status_code == 200
    assert traced.span("POST /models/{task}").parent is None


def test_forwards_link_to_the_batch_that_they_shared(traced: Traced, engine: FakeEngine) -> None:
    """It is a trace of its own, told once for all its requests."""
    traced.ask(predict(["a", "b c", "d"]), predict("x"))
    first, second = traced.spans("forward")
    batches = traced.spans("batch")
    assert [link.context.span_id for link in (*first.links, *second.links)] == [
        batch.context.span_id for batch in batches if batch.context
    ]
    assert (
        told(first).items()
        >= {
            "polyhead.batch.rows": 3,
            "polyhead.batch.tokens": 4,
            "polyhead.batch.tasks": 1,
            "polyhead.batch.lane": "compute-0",
        }.items()
    )
    assert told(first)["polyhead.batch.id"] == trace_of(batches[0])
    assert batches[0].parent is None
    assert told(batches[0])["polyhead.batch.task_names"] == ("topic",)


def test_requests_of_one_batch_share_its_span(traced: Traced, engine: FakeEngine) -> None:
    """However many they are, it is told once."""

    async def use(client: httpx.AsyncClient) -> None:
        posts = [client.post("/models/topic", json={"inputs": text}) for text in "abcdef"]
        await asyncio.gather(*posts)

    engine.run_s = 0.05
    traced.server.run(use)
    linked = {link.context.span_id for span in traced.spans("forward") for link in span.links}
    assert len(traced.spans("forward")) == 6
    assert len(linked) < 6
    assert len(traced.spans("batch")) == len(linked)


def test_cold_weights_are_a_stage_of_their_own(traced: Traced, engine: FakeEngine) -> None:
    """As long as the load took, within the time that the rows waited."""
    engine.cold, engine.load_s = {"topic"}, 0.03
    traced.ask(predict())
    load, queue = traced.span("load"), traced.span("queue")
    assert told(load)["polyhead.load.reason"] == "absent"
    assert times(load)[1] - times(load)[0] >= 30_000_000
    assert times(queue)[0] <= times(load)[0] <= times(load)[1] <= times(queue)[1] + 5_000_000


@pytest.mark.parametrize(
    ("request_", "status", "code", "is_error"),
    (
        (predict(task="nothing"), 404, "unknown_task", False),
        (predict(""), 422, "invalid_input", False),
        (predict(" ".join("x" * 13)), 500, "row_failed", True),
        (predict("slow", x_deadline_ms="1"), 504, "deadline_exceeded", True),
    ),
)
def test_refusals_say_why(
    request_: Any, status: int, code: str, is_error: bool, traced: Traced, engine: FakeEngine
) -> None:
    """A client's mistake is no error of the server."""
    engine.run_s = 0.05
    traced.ask(request_)
    server = traced.span("POST /models/{task}")
    assert told(server)["http.response.status_code"] == status
    assert told(server)["polyhead.error_code"] == code
    assert (server.status.status_code is StatusCode.ERROR) is is_error
    assert told(server).get("error.type") == (code if is_error else None)


def test_other_routes_are_traced_by_their_pattern(traced: Traced) -> None:
    """A name of bounded variety; what is no route has none."""
    traced.ask(
        ("GET", "/tasks/topic", {}),
        ("POST", "/v2/models/topic/infer", {"json": {}}),
        ("BREW", "/nothing/here", {}),
    )
    names = [span.name for span in traced.spans() if span.kind is SpanKind.SERVER]
    assert names[0].startswith("GET /tasks/{")
    assert names[1].startswith("POST /v2/models/{")
    assert names[2] == "HTTP"
    assert told(traced.spans("HTTP")[0])["http.request.method"] == "_OTHER"


def test_probes_and_scrapes_are_not_traced(traced: Traced) -> None:
    """They come every few seconds and say nothing."""
    traced.ask(*(("GET", path, {}) for path in ("/health/live", "/metrics", "/v2/health/ready")))
    assert traced.spans() == []


@pytest.mark.parametrize(
    ("sampler", "argument", "header", "expected"),
    (
        ("always_off", "", PARENTED, 0),
        ("parentbased_always_on", "", PARENTED, 1),
        ("parentbased_always_on", "", PARENTED[:-1] + "0", 0),
        ("parentbased_always_off", "", PARENTED, 1),
        ("traceidratio", "0.0", PARENTED, 0),
        ("traceidratio", "1.0", PARENTED[:-1] + "0", 1),
    ),
)
def test_sampler_is_the_one_that_is_set(
    sampler: str,
    argument: str,
    header: str,
    expected: int,
    make_traced: Callable[..., Traced],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OTEL_TRACES_SAMPLER; what is not sampled leaves no span at all."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    traced = make_traced()
    traced.ask(predict(traceparent=header))
    assert len(traced.spans("POST /models/{task}")) == expected
    assert bool(traced.spans()) is bool(expected)


def test_access_line_names_the_trace(
    make_traced: Callable[..., Traced], caplog: pytest.LogCaptureFixture
) -> None:
    """So that one leads to the other."""
    caplog.handler.addFilter(RequestIdFilter())
    caplog.set_level("INFO", "serving.protocols.wire")
    make_traced(access_log=True).ask(predict(traceparent=PARENTED))
    (record,) = [each for each in caplog.records if each.name == "serving.protocols.wire"]
    assert vars(record)["trace_id"] == TRACE
    assert vars(record)["tokens"] == 2
