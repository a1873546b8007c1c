"""The life cycle of whole tasks over HTTP: list, show, make, change, delete, share out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput, UnknownTask
from serving.errors import VersionConflict
from serving.protocols.answers import refuse_while_draining, task_response
from serving.protocols.bodies import read_entry
from serving.protocols.describe import outline
from serving.protocols.guards import expected
from serving.protocols.openapi import GUARDS, PUT, TRAFFIC, errors, success
from serving.protocols.wire import json_response
from serving.service import Service
from serving.settings import Settings
from serving.views import TaskView

_TRAFFIC_HINT = 'send such as {"weights": {"1": 90, "2": 10}, "shadow": ["3"]}'
_TRAFFIC_KEYS = ("weights", "shadow")


class TasksProtocol:
    """What operators do with tasks while the server runs.

    Args:
        service: knows the tasks and changes them.
        settings: the largest body.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._max_bytes = settings.max_body_bytes

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["life cycle"], default_response_class=Response)
        add, one = router.add_api_route, "/tasks/{name}"
        change = errors(404, 409, 413, 415, 422, 424, 503)
        add("/tasks", self.list, responses=success("All tasks."))
        add(one, self.show, responses=success("The task.") | errors(404))
        made = success("It has the version.") | success("The task was made.", 201)
        add(one, self.put, methods=["PUT"], responses=made | change, openapi_extra=PUT)
        gone = {204: {"description": "It is gone."}, **errors(404, 409, 422, 503)}
        guards = {"parameters": GUARDS[:1]}
        add(
            one,
            self.delete,
            methods=["DELETE"],
            status_code=204,
            responses=gone,
            openapi_extra=guards,
        )
        shared = success("The task.") | change
        path = one + "/traffic"
        add(path, self.traffic, methods=["POST"], responses=shared, openapi_extra=TRAFFIC)
        return router

    async def list(self) -> Response:
        """All tasks with their state; those that cannot answer say why."""
        views = await self._service.tasks()
        # A thousand tasks take a while to write down: requests go on meanwhile.
        return await asyncio.to_thread(_list, views)

    async def show(self, name: str) -> Response:
        """A task with its versions, what they answered, and what happened to it."""
        return task_response(await self._service.task(name))

    async def put(self, name: str, request: Request) -> Response:
        """Make a task, give it a new version, or replace all of it.

        The new version is read and checked in the background; the old one answers until then.
        """
        refuse_while_draining(self._service)
        entry = await read_entry(request, self._max_bytes)
        if entry.pop("name", name) != name:
            raise InvalidInput(f"is another than the address says: {name!r}; leave it out.", "name")
        guard = await expected(self._service, name, request)
        is_new = await self._service.life_cycle.put(name, entry, guard)
        try:
            return task_response(await self._service.task(name), 201 if is_new else 200)
        except UnknownTask as error:
            raise VersionConflict(f"{name} was deleted meanwhile; send it again.") from error

    async def delete(self, name: str, request: Request) -> Response:
        """Delete a task; requests inside are answered, later ones get 404."""
        refuse_while_draining(self._service)
        guard = await expected(self._service, name, request)
        await self._service.life_cycle.delete(name, None, guard)
        return Response(status_code=204)

    async def traffic(self, name: str, request: Request) -> Response:
        """Share a task's traffic out among its versions; weights are relative to each other."""
        refuse_while_draining(self._service)
        body = await read_entry(request, self._max_bytes, _TRAFFIC_HINT)
        guard = await expected(self._service, name, request)
        view = await self._service.task(name)
        weights, shadow = _shares(body, view)
        # What the body leaves out stays as it was seen here, not as it has become since.
        if guard is None and len(body) < len(_TRAFFIC_KEYS):
            guard = view.etag
        await self._service.life_cycle.set_traffic(name, weights, shadow, guard)
        return task_response(await self._service.task(name))


def _list(views: Sequence[TaskView]) -> Response:
    return json_response({"tasks": [outline(view) for view in views]})


def _shares(
    body: dict[str, Any], view: TaskView
) -> tuple[dict[str, float] | None, tuple[str, ...]]:
    """Weights and shadows as the body states them; what it leaves out stays."""
    for key in body:
        if key not in _TRAFFIC_KEYS:
            raise InvalidInput(f"is no known key; {_TRAFFIC_HINT}.", key)
    if not body:
        raise InvalidInput(f"is empty; {_TRAFFIC_HINT}.", "body")
    weights = _weights(body["weights"]) if "weights" in body else _present_weights(view)
    if "shadow" in body:
        return weights, _shadow(body["shadow"])
    kept = (each.id for each in view.versions if each.shadow and each.id is not None)
    return weights, tuple(id for id in kept if not (weights and weights.get(id)))


def _present_weights(view: TaskView) -> dict[str, float] | None:
    found = {
        each.id: each.weight
        for each in view.versions
        if each.weight is not None and each.id is not None
    }
    return found or None


def _weights(value: Any) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise InvalidInput("must map version ids to numbers, or be null.", "weights")
    for id, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InvalidInput("must be a number, 0 or more.", f"weights.{id}")
        if not 0 <= weight < math.inf:
            raise InvalidInput("must be a finite number, 0 or more.", f"weights.{id}")
    return {id: float(weight) for id, weight in value.items()}


def _shadow(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidInput("must be a list of version ids, written as text.", "shadow")
    return tuple(value)
