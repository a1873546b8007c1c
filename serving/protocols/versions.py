"""The life cycle of single versions over HTTP: show, retire, and the actions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput, UnknownTask
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import UnknownVersion, VersionRetired
from serving.protocols.acting import LONGEST_S, Acts
from serving.protocols.answers import refuse_while_draining, task_response, version_response
from serving.protocols.describe import describe_version, find_version
from serving.protocols.guards import expected
from serving.protocols.openapi import ACTION, GUARDS, errors, success
from serving.service import ACTIONS, Service

_FALSE = frozenset({"false", "0", "no"})
_TRUE = frozenset({"true", "1", "yes", ""})
_PRELOAD = "preload"
_GLANCE_S = 0.05
_ABSENT = (UnknownTask, UnknownVersion, VersionRetired)


class VersionsProtocol:
    """What operators do with the versions of a task.

    Args:
        service: knows the versions and changes them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._acts = Acts(service)

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["life cycle"], default_response_class=Response)
        add, one = router.add_api_route, "/tasks/{name}/versions/{version}"
        shown = success("The version.") | errors(404, 410, 424)
        add(one, self.show, responses=shown)
        gone = {204: {"description": "It is retired."}, **errors(404, 409, 410, 422, 503)}
        guards = {"parameters": GUARDS[:1]}
        add(
            one,
            self.retire,
            methods=["DELETE"],
            status_code=204,
            responses=gone,
            openapi_extra=guards,
        )
        done = success("The task.") | success("It is loading.", 202)
        done |= errors(404, 409, 410, 422, 424, 503, 504)
        path = one + ":{action}"
        add(path, self.act, methods=["POST"], responses=done, openapi_extra=ACTION)
        return router

    async def show(self, name: str, version: str) -> Response:
        """One version; a rejected one is 424, with every reason."""
        _refuse_reading(version)
        found = find_version(await self._service.task(name), version)
        return version_response(name, found, describe_version(found))

    async def retire(self, name: str, version: str, request: Request) -> Response:
        """Retire a version; requests inside are answered, later ones that ask for it get 410."""
        refuse_while_draining(self._service)
        guard = await expected(self._service, name, request)
        await self._service.life_cycle.delete(name, version, guard)
        return Response(status_code=204)

    async def act(self, name: str, version: str, action: str, request: Request) -> Response:
        """Promote, rollback, pin, unpin, preload or evict a version."""
        if action not in ACTIONS:
            detail = f"{action!r:.60} is no action; there are {', '.join(ACTIONS)}"
            raise HTTPException(404, detail)
        refuse_while_draining(self._service)
        guard, waits = await expected(self._service, name, request), _waits(request)
        limit_s = deadline_s(request.headers.get(HEADER), LONGEST_S)
        waits = waits or action != _PRELOAD
        if waits:
            await self._acts.wait(name, version, action, limit_s, guard)
        else:
            work = await self._acts.begin(name, version, action, _GLANCE_S, guard)
            if work.done() and isinstance(work.exception(), _ABSENT):
                work.result()
        return task_response(await self._service.task(name), 200 if waits else 202)


def _refuse_reading(version: str) -> None:
    """An action is posted; asking for it as if it were a version is a wrong method."""
    if version.rpartition(":")[2] in ACTIONS and ":" in version:
        raise HTTPException(405, "Method Not Allowed", {"allow": "POST"})


def _waits(request: Request) -> bool:
    asked = request.query_params.get("wait", "true").lower()
    if asked not in _TRUE | _FALSE:
        raise InvalidInput(f"expected true or false, not {asked!r:.40}.", "wait")
    return asked not in _FALSE
