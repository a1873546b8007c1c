"""The ASGI application around a Service."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from adapter_runtime import PolyheadError
from serving.admission.gate import Gate, open_gate
from serving.errors import Refusal
from serving.guarded_service import GuardedService, Shown, guarded_metrics
from serving.guarding import Guard
from serving.lag import watch_lag
from serving.metrics import ShownRecorder
from serving.observing import Observer
from serving.ports import OperatorsPort
from serving.protocols.admin import AdminProtocol
from serving.protocols.analyze import AnalyzeProtocol
from serving.protocols.debug import DebugProtocol
from serving.protocols.hub import DirectPredict, HubProtocol
from serving.protocols.keyed import tell_of_keys
from serving.protocols.oip import OipProtocol
from serving.protocols.oip_repository import OipRepository
from serving.protocols.openai import OpenAIProtocol
from serving.protocols.tasks import TasksProtocol
from serving.protocols.tei import TeiProtocol
from serving.protocols.usage import UsageProtocol
from serving.protocols.versions import VersionsProtocol
from serving.protocols.vllm import VllmProtocol
from serving.protocols.vllm_loras import LoraProtocol
from serving.protocols.wire import RequestIds, error_response, refusal_response
from serving.service import Service
from serving.settings import Settings
from serving.tracing.opening import open_traces
from serving.ui.pages import Playground
from serving.visits import visited

if TYPE_CHECKING:
    from serving.tracing.layer import Traces

_TITLE = "Polyhead"
_TEXT = "One frozen backbone, many tasks, any mix of them in one forward pass."
_CODES = {404: "not_found", 405: "method_not_allowed"}


def release() -> str:
    """The installed release of the distribution."""
    try:
        return version("polyhead")
    except PackageNotFoundError:
        return "0+unknown"


def create_app(
    service: Service,
    settings: Settings,
    recorder: ShownRecorder,
    facts: MutableMapping[str, object] | None = None,
    traces: Traces | None = None,
    gate: Gate | None = None,
    admin_port: int | None = None,
) -> ASGIApp:
    """The application; the service starts and stops with it.

    Args:
        service: answers Calls.
        settings: limits of bodies and time.
        recorder: keeps the metrics that `/metrics` shows.
        facts: what `/info` says beside the release, as it is when asked.
        traces: makes spans of requests; by default as the settings and OpenTelemetry's say.
        gate: knows the keys of those who may come in; by default as the settings say.
        admin_port: where alone operators' routes are served; None: wherever it is asked.

    Raises:
        SettingsError: traces are asked for and cannot be had, or the keys file is wrong.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        observer.started(release())
        watch = asyncio.create_task(watch_lag(observer.lagged), name="watch-lag")
        yield
        watch.cancel()
        service.stop()
        if traces is not None:
            await asyncio.to_thread(traces.close)

    # The documentation page ships with the package: it must work without the internet.
    app = FastAPIOffline(
        title=_TITLE, description=_TEXT, version=release(), redoc_url=None, lifespan=lifespan
    )
    app.router.redirect_slashes = False  # it would send clients to whatever host they named
    traces = traces or open_traces(settings, release())
    gate = gate or open_gate(settings, recorder)
    service, shown_metrics = _seen(service, recorder.shown, gate)
    if settings.access_log or traces is not None:
        service = visited(service)
    base: dict[str, object] = {"name": "polyhead", "version": release()}
    shown = ChainMap({} if facts is None else facts, base)
    observer = Observer(recorder)
    hub = HubProtocol(service, settings, observer)
    app.include_router(hub.routes())
    app.include_router(OipProtocol(service, settings, observer, release()).routes())
    app.include_router(OipRepository(service, settings).routes())
    app.include_router(OpenAIProtocol(service, settings, observer, shown).routes())
    app.include_router(AnalyzeProtocol(service, settings, observer).routes())
    tei = _include_others(app, service, settings, observer)
    app.include_router(TasksProtocol(service, settings).routes())
    app.include_router(VersionsProtocol(service).routes())
    app.include_router(Playground().routes())
    app.include_router(AdminProtocol(service, shown_metrics, shown, tei.about_default).routes())
    app.include_router(DebugProtocol(service, settings).routes())
    app.add_exception_handler(PolyheadError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_error)  # else the framework answers plain text
    # What must see predictions too belongs outside DirectPredict, not into the framework's layers.
    inside: ASGIApp = DirectPredict(hub, app)
    if gate is not None:
        inside = _guarded(inside, app, gate)
    if admin_port is not None:
        inside = OperatorsPort(inside, admin_port)
    if traces is not None:
        inside = traces.traced(inside)
    return RequestIds(inside, settings.access_log)


def _seen(service: Service, metrics: Shown, gate: Gate | None) -> tuple[Service, Shown]:
    """The service and the metrics as the key of a request may see them."""
    if gate is None:
        return service, metrics
    return GuardedService(service, gate), guarded_metrics(metrics, gate)


def _include_others(
    app: FastAPI, service: Service, settings: Settings, observer: Observer
) -> TeiProtocol:
    """The words of other servers, which share a path."""
    tei = TeiProtocol(service, settings, observer)
    app.include_router(tei.routes())
    app.include_router(VllmProtocol(service, settings, observer, tei).routes())
    app.include_router(LoraProtocol(service, settings).routes())
    return tei


def _guarded(inside: ASGIApp, app: FastAPI, gate: Gate) -> ASGIApp:
    app.include_router(UsageProtocol(gate).routes())
    tell_of_keys(app)
    return Guard(inside, gate, app.routes)


async def _answer_error(_: Request, error: Exception) -> Response:
    return error_response(error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """No such route or method, in our own shape."""
    assert isinstance(error, HTTPException), "Another error reached this function. This is a bug."
    place = f"{request.method} {request.url.path}"
    message = f"{place}: {error.detail}. GET /docs lists what there is."
    code = _CODES.get(error.status_code, "http_error")
    response = refusal_response(Refusal(error.status_code, code, message))
    response.headers.update(error.headers or {})
    return response
