"""Models come into memory and leave it: the repository routes of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import UnknownVersion
from serving.protocols.acting import LONGEST_S, Acts
from serving.protocols.answering import asked_version
from serving.protocols.answers import refuse_while_draining
from serving.protocols.describe import standing
from serving.protocols.oip import OipRoute
from serving.protocols.oip_openapi import LOAD, errors
from serving.protocols.openapi import success
from serving.protocols.wire import json_response, read_body, read_object
from serving.service import Service
from serving.settings import Settings
from serving.views import TaskView, VersionView

_IGNORED = frozenset({"unload_dependents"})
_READY = "READY"
_RESIDENT = ("device", "host")
_NO_VERSION = "?"
"""An id that no version has: names hold no such character."""


class OipRepository:
    """Load is preload, unload is evict: the tasks themselves stay.

    Args:
        service: knows the tasks and acts on them.
        settings: the largest body.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._max_bytes = settings.max_body_bytes
        self._acts = Acts(service)

    def routes(self) -> APIRouter:
        """The repository's routes."""
        router = APIRouter(
            prefix="/v2/repository",
            tags=["open inference protocol"],
            route_class=OipRoute,
            default_response_class=Response,
        )
        done = success("It is done.") | errors(400, 404, 410, 413, 415, 424, 503, 504)
        for name, act in (("load", self.load), ("unload", self.unload)):
            path = f"/models/{{model}}/{name}"
            router.add_api_route(path, act, methods=["POST"], responses=done, openapi_extra=LOAD)
        rows = {"type": "array", "items": {"type": "object"}}
        shown = success("Each model's name, version and state.", schema=rows)
        shown |= errors(400, 413, 415)
        router.add_api_route("/index", self.index, methods=["POST"], responses=shown)
        return router

    async def index(self, request: Request) -> Response:
        """All models, or with `{"ready": true}` those that answer."""
        body = await read_body(request, self._max_bytes)
        wants_ready = bool(body.strip()) and read_object(body, "{}").get("ready", False)
        if not isinstance(wants_ready, bool):
            raise InvalidInput("expected true or false.", "ready")
        rows = [_row(view) for view in await self._service.tasks()]
        return json_response([row for row in rows if row["state"] == _READY or not wants_ready])

    async def load(self, model: str, request: Request) -> Response:
        """Bring the versions that answer onto the device, checked."""
        view = await self._begin(model, request)
        if view.version is None:
            # Its files have not been read, so that it has no id yet; looking for one reads them.
            with suppress(UnknownVersion):
                await self._act(view, _NO_VERSION, "evict", request)
            view = await self._service.task(model)
        answering = _chosen(view, request, lambda each: each.share > 0)
        for id in answering or [view.version or _NO_VERSION]:
            await self._act(view, id, "preload", request)
        return json_response({"name": model, "load": True})

    async def unload(self, model: str, request: Request) -> Response:
        """Take its weights out of memory until they are asked for; pinned ones stay."""
        view = await self._begin(model, request)
        for id in _chosen(view, request, lambda each: each.residency in _RESIDENT):
            await self._act(view, id, "evict", request)
        return json_response({"name": model, "unload": True})

    async def _begin(self, model: str, request: Request) -> TaskView:
        refuse_while_draining(self._service)
        body = await read_body(request, self._max_bytes)
        if body.strip():
            _refuse_files(read_object(body, "{}"))
        return await self._service.task(model)

    async def _act(self, view: TaskView, id: str, action: str, request: Request) -> None:
        limit_s = deadline_s(request.headers.get(HEADER), LONGEST_S)
        await self._acts.wait(view.name, id, action, limit_s)


def _chosen(view: TaskView, request: Request, is_meant: Callable[[VersionView], bool]) -> list[str]:
    """The version that the request names, else those that are meant."""
    asked = asked_version(request)
    if asked is not None:
        return [asked]
    return [each.id for each in view.versions if each.id is not None and is_meant(each)]


def _row(view: TaskView) -> dict[str, str]:
    found = standing(view, None)
    state = _READY if found.is_able else "UNAVAILABLE"
    row = {"name": view.name, "version": view.version or "", "state": state}
    return row | {"reason": found.reason or ""}


def _refuse_files(body: dict[str, Any]) -> None:
    """Triton's clients may send a model along; here a task is put, by other routes."""
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, dict) or not parameters.keys() <= _IGNORED:
        message = "configs and files are not taken here; PUT /tasks/{name} makes a task."
        raise InvalidInput(message, "parameters")
