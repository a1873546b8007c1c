"""Health, metrics and what the server is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import PolyheadError
from serving.protocols.openapi import errors, headers, success
from serving.protocols.wire import error_response, json_response
from serving.service import Service

_UNREADY = "Pinned tasks are still loading (`warming`), or it stops (`draining`)."
_NAMES = headers(("name[]", "Only this metric; may be given several times."), place="query")
_RETRY_AFTER = {"retry-after": "1"}


class AdminProtocol:
    """What operators and probes ask.

    Args:
        service: knows the tasks.
        shown: metrics in the format that a client accepts, and its type; those of the names.
        facts: what `/info` says beside the tasks: release, backbone, device.
        about_default: what it says of the task that answers at the root, where there is one.
    """

    def __init__(
        self,
        service: Service,
        shown: Callable[[str, Sequence[str]], tuple[bytes, str]],
        facts: Mapping[str, object],
        about_default: Callable[[], Awaitable[Mapping[str, object]]],
    ) -> None:
        self._service = service
        self._shown = shown
        self._facts = facts
        self._about_default = about_default

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["server"], default_response_class=Response)
        add = router.add_api_route
        add("/info", self.info, responses=success("Release, backbone and device."))
        add("/health/live", self.live, responses=success("It computes.") | errors(503))
        ready = success("It takes requests.") | {503: {"description": _UNREADY}}
        for path in ("/health/ready", "/health"):
            add(path, self.ready, responses=ready)
        text = {"description": "All metrics.", "content": {"text/plain": {}}}
        chosen: dict[str, Any] = {"parameters": _NAMES}
        add("/metrics", self.metrics, responses={200: text}, openapi_extra=chosen)
        return router

    async def info(self) -> Response:
        """Release, backbone and device; with --default-task also what TEI's clients look for."""
        num_tasks, default = len(await self._service.tasks()), await self._about_default()
        return json_response({**self._facts, "num_tasks": num_tasks, **default})

    async def live(self) -> Response:
        """200 for as long as the device computes; 503 where only a restart can help."""
        try:
            await self._service.check()
        except PolyheadError as error:
            return error_response(error)
        return json_response({"status": "live"})

    async def ready(self) -> Response:
        """200 when new requests are best sent here; 503 while warming up and while stopping."""
        if self._service.is_draining:
            return json_response({"status": "draining"}, 503, _RETRY_AFTER)
        if not self._service.is_warm:
            return json_response({"status": "warming"}, 503, _RETRY_AFTER)
        return json_response({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """Metrics in Prometheus' text format, or as OpenMetrics where that is accepted."""
        # Hundreds of tasks are thousands of lines: requests go on meanwhile.
        accept, names = request.headers.get("accept", ""), request.query_params.getlist("name[]")
        return await asyncio.to_thread(self._measured, accept, names)

    def _measured(self, accept: str, names: Sequence[str]) -> Response:
        self._service.measure()
        content, media_type = self._shown(accept, names)
        return Response(content, headers={"content-type": media_type, "vary": "accept"})
