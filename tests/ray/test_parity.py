"""An ingress answers as a single server does, byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from adapter_runtime import Note, RejectedAdapter
from deploy.ray_serve.remote import RemoteService
from serving import errors
from serving.app import create_app
from serving.metrics import PrometheusRecorder
from serving.service import Service
from serving.settings import Settings
from tests.protocols.fake_service import FakeService
from tests.ray.fake_replicas import FakeReplicas

SETTINGS = Settings()
PREDICTION = ("POST", "/models/topic", {"inputs": "x"})
REQUESTS: tuple[tuple[str, str, Any], ...] = (
    PREDICTION,
    ("POST", "/models/topic?version=2", {"inputs": ["x", "y"]}),
    ("POST", "/models/topic", {"nothing": 1}),
    ("POST", "/v1/analyze", {"inputs": ["x", "y"], "tasks": ["topic", "new"]}),
    ("GET", "/models/topic", None),
    ("GET", "/models/nope", None),
    ("GET", "/models/new/health", None),
    ("GET", "/tasks", None),
    ("GET", "/debug/batches", None),
    ("GET", "/tasks/topic", None),
    ("GET", "/tasks/nope", None),
    ("GET", "/tasks/topic/versions/0", None),
    ("GET", "/tasks/topic/versions/2", None),
    ("GET", "/tasks/topic/versions/9", None),
    ("PUT", "/tasks/made", {"adapter": "./x"}),
    ("PUT", "/tasks/topic", {"adapter": "./x"}),
    ("PUT", "/tasks/topic", {"name": "other"}),
    ("DELETE", "/tasks/topic", None),
    ("DELETE", "/tasks/nope", None),
    ("DELETE", "/tasks/topic/versions/0", None),
    ("POST", "/tasks/topic/versions/2:promote", None),
    ("POST", "/tasks/topic/versions/9:preload?wait=false", None),
    ("POST", "/tasks/topic/versions/1:evict", None),
    ("POST", "/tasks/topic/traffic", {"weights": {"1": 3, "2": 1}}),
    ("POST", "/tasks/topic/traffic", {"weights": "all"}),
    ("GET", "/health/live", None),
    ("GET", "/health/ready", None),
    ("GET", "/nowhere", None),
)
RAISED = (
    errors.Overloaded("All permits are taken.", 2.0),
    errors.StillLoading("topic is loading; try again soon.", 3.5),
    errors.Quarantined("topic is quarantined.", 30.0),
    errors.DeadlineExceeded("The answer was not ready within 1 s."),
    errors.VersionRetired("Version '1' of topic is retired."),
    errors.UnknownVersion("topic has no version '7'."),
    errors.InvalidInput("inputs[1] is no text.", "inputs"),
    errors.RejectedForNow("topic", [Note("gone", "It is away.")], 9.0),
    RejectedAdapter("topic", [Note("missing_tensor", "x."), Note("not_finite", "y.")]),
    ValueError("a bug"),
)


@asynccontextmanager
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to an application around a service."""
    app = create_app(service, SETTINGS, PrometheusRecorder())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"x-request-id": "one", "if-match": '"e0", "n0"'}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://polyhead", headers=headers
    ) as speaking:
        await service.start()
        yield speaking
        service.stop()


async def answers(
    service: FakeService, request: tuple[str, str, Any]
) -> list[tuple[int, httpx.Headers, bytes]]:
    """What a single server answers, and what an ingress over replicas does."""
    method, path, body = request
    twin = FakeService(raises=service.raises)
    found = []
    for each in (service, RemoteService(FakeReplicas([twin]), PrometheusRecorder())):
        async with client(each) as speaking:
            response = await speaking.request(method, path, json=body)
        response.headers.pop("x-total-time")  # no two requests take the same time
        found.append((response.status_code, response.headers, response.content))
    return found


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: f"{each[0]} {each[1]}")
async def test_every_route_answers_alike(request_: tuple[str, str, Any]) -> None:
    """Status, headers and body are those of a single server."""
    alone, through = await answers(FakeService(), request_)
    assert through == alone


@pytest.mark.parametrize("error", RAISED, ids=lambda each: type(each).__name__)
async def test_every_refusal_reads_alike(error: Exception) -> None:
    """Codes, reasons and times to try again survive the way through the ingress."""
    alone, through = await answers(FakeService(raises=error), PREDICTION)
    assert through == alone
