"""From requests to spans: built when a request has been answered, from the times in its answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import refusal
from serving.logs import request_id_var, trace_id_var
from serving.protocols.hub import predicted_task
from serving.tracing.requests import method_of, request_attributes
from serving.tracing.stages import Stages
from serving.visits import Visit, visit_var

CLOSE_S = 3.0
"""Longest wait for a collector when the server ends."""
_UNTRACED = ("/health", "/metrics", "/v2/health")
_PREDICT = "/models/{task}"


class Traces:
    """Makes spans and hands them to a processor; the sampler is that of `OTEL_TRACES_SAMPLER`.

    Args:
        processor: takes ended spans.
        release: of this server.
        give_up: ends what is still being sent when the server must end.
    """

    def __init__(
        self, processor: SpanProcessor, release: str, give_up: Callable[[], None] = lambda: None
    ) -> None:
        self._give_up = give_up
        resource = _resource(release)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self.tracer = self._provider.get_tracer("polyhead", release)
        self.stages = Stages(self.tracer, processor, resource, release)

    def traced(self, app: ASGIApp) -> ASGIApp:
        """An application whose requests are traced."""
        return TraceRequests(app, self)

    def close(self) -> None:
        """Send what is left, unless the collector takes too long. Blocks."""
        patience = threading.Timer(CLOSE_S, self._give_up)
        patience.daemon = True
        patience.start()
        self._provider.shutdown()
        patience.cancel()


def _resource(release: str) -> Resource:
    attributes = {SERVICE_VERSION: release}
    if not os.environ.get("OTEL_SERVICE_NAME") and SERVICE_NAME not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes[SERVICE_NAME] = "polyhead"
    return Resource.create(attributes)


class TraceRequests:
    """Gives each HTTP request a server span, with the stages of its Calls below it.

    Args:
        app: the application inside; its service notes its answers on the visit.
        traces: makes the spans.
    """

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http" or scope["path"].startswith(_UNTRACED):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        span = self._traces.tracer.start_span(
            method_of(scope),
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes=request_attributes(scope, headers),
        )
        if not span.is_recording():  # not sampled: nothing of it is told
            await self._app(scope, receive, send)
            return
        visit = Visit(f"{span.get_span_context().trace_id:032x}")
        visit_var.set(visit)
        trace_id_var.set(visit.trace_id)
        await self._serve(span, visit, scope, receive, send)

    async def _serve(
        self, span: trace.Span, visit: Visit, scope: Scope, receive: Receive, send: Send
    ) -> None:
        status = 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except BaseException as error:
            visit.error = visit.error or error
            raise
        finally:
            self._traces.stages.add(span, visit.answers)
            _end(span, scope, visit, status)


def _end(span: trace.Span, scope: Scope, visit: Visit, status: int) -> None:
    """Say how a request went; a client's own mistake is no error of the server."""
    route = _PREDICT if predicted_task(scope) else getattr(scope.get("route"), "path", None)
    attributes: dict[str, AttributeValue] = dict(_own(visit))
    if route:
        span.update_name(f"{method_of(scope)} {route}")
        attributes[HTTP_ROUTE] = route
    if status:
        attributes[HTTP_RESPONSE_STATUS_CODE] = status
    code = refusal(visit.error).code if visit.error is not None else None
    if code is not None:
        attributes["polyhead.error_code"] = code
    if status >= 500 or not status:
        attributes[ERROR_TYPE] = code or str(status or "unanswered")
        span.set_status(Status(StatusCode.ERROR))
    span.set_attributes(attributes)
    span.end()


def _own(visit: Visit) -> Mapping[str, AttributeValue]:
    told = {f"polyhead.{name}": value for name, value in visit.facts().items()}
    return {"polyhead.request_id": request_id_var.get(), **told}
