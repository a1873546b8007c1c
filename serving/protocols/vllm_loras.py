"""vLLM's routes that load and unload adapters while the server runs: tasks come and go.

Source: https://docs.vllm.ai/en/stable/features/lora.html.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from adapter_runtime import InvalidInput, PolyheadError, UnknownTask
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import DeadlineExceeded, UnknownVersion, VersionConflict, refusal
from serving.protocols.acting import LONGEST_S, Acts
from serving.protocols.answers import refuse_while_draining
from serving.protocols.guards import NONE
from serving.protocols.shaped import shaped_by
from serving.protocols.vllm_openapi import CHANGED, LOAD_ADAPTER, UNLOAD_ADAPTER
from serving.protocols.vllm_wire import vllm_refusal
from serving.protocols.wire import read_body, read_object
from serving.service import Service
from serving.settings import Settings

_ON_THE_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_EXAMPLE = '{"lora_name": "topic", "lora_path": "/adapters/topic"}'
_NO_VERSION = "?"
"""An id that no version has: names hold no such character."""
LoraRoute = shaped_by(vllm_refusal)


class LoraProtocol:
    """An adapter that is loaded is a task of its name; one that is unloaded is deleted.

    Args:
        service: knows the tasks and changes them.
        settings: the largest body.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._max_bytes = settings.max_body_bytes
        self._acts = Acts(service)

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(
            prefix="/v1", tags=["vllm"], route_class=LoraRoute, default_response_class=Response
        )
        for name, act, extra in (
            ("load", self.load, LOAD_ADAPTER),
            ("unload", self.unload, UNLOAD_ADAPTER),
        ):
            path = f"/{name}_lora_adapter"
            router.add_api_route(
                path, act, methods=["POST"], openapi_extra=extra, responses=CHANGED
            )
        return router

    async def load(self, request: Request) -> Response:
        """Make a task of an adapter folder, and answer when it is ready."""
        body = await self._read(request)
        name, path = _word(body, "lora_name"), _word(body, "lora_path")
        is_replaced = body.get("load_inplace") or False
        if not isinstance(is_replaced, bool):
            raise InvalidInput("expected true or false.", "load_inplace")
        limit_s = deadline_s(request.headers.get(HEADER), LONGEST_S)
        try:
            await self._service.life_cycle.put(
                name, {"adapter": _source(path)}, None if is_replaced else NONE
            )
        except VersionConflict:
            if is_replaced or not await self._is_there(name):
                raise
            message = (
                f"The lora adapter {name!r} has already been loaded; "
                "load_inplace replaces it, or unload it first."
            )
            return vllm_refusal(refusal(InvalidInput(message, "lora_name")), "InvalidUserInput")
        mine = None if is_replaced else (await self._service.task(name)).etag
        await self._ready(name, limit_s, mine)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        """Delete the task of that name; requests inside are answered."""
        name = _word(await self._read(request), "lora_name")
        await self._service.life_cycle.delete(name, None, None)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _read(self, request: Request) -> dict[str, Any]:
        refuse_while_draining(self._service)
        return read_object(await read_body(request, self._max_bytes), _EXAMPLE)

    async def _is_there(self, name: str) -> bool:
        try:
            await self._service.task(name)
        except UnknownTask:
            return False
        return True

    async def _ready(self, name: str, limit_s: float, mine: str | None) -> None:
        """Wait for the newest version; what cannot be served is taken back.

        Args:
            name: of the task.
            limit_s: how long to wait, in seconds.
            mine: the etag of a task that was made here; what others made of it since stays.
        """
        try:
            with suppress(UnknownVersion):  # looking for it reads the files
                await self._acts.wait(name, _NO_VERSION, "evict", limit_s)
            newest = (await self._service.task(name)).versions[-1]
            await self._acts.wait(name, newest.id or _NO_VERSION, "preload", limit_s)
        except PolyheadError as error:
            if mine is not None and not isinstance(error, DeadlineExceeded):
                with suppress(PolyheadError):
                    await self._service.life_cycle.delete(name, None, mine)
            raise


def _word(body: dict[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found:
        raise InvalidInput("expected a name that is not empty.", name)
    return found


def _source(path: str) -> str:
    """A path as it stands; what looks like a repository of the hub is one."""
    return f"hf://{path}" if _ON_THE_HUB.fullmatch(path) else path
