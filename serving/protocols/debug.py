"""What the device has just done, for operators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.protocols.openapi import errors, success
from serving.protocols.wire import json_response
from serving.recent import Batch
from serving.service import Service
from serving.settings import Settings

_LAST: dict[str, Any] = {
    "name": "last",
    "in": "query",
    "description": "How many at most.",
    "schema": {"type": "integer", "minimum": 1, "default": 20},
}
_DEFAULT = 20
_DIGITS = 6


class DebugProtocol:
    """Shows the last batches.

    Args:
        service: ran them.
        settings: how many it keeps.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._kept = settings.keep_batches

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["server"], default_response_class=Response)
        shown = success("The last batches, the newest first.") | errors(422)
        asked: dict[str, Any] = {"parameters": [_LAST]}
        router.add_api_route("/debug/batches", self.batches, responses=shown, openapi_extra=asked)
        return router

    async def batches(self, request: Request) -> Response:
        """The last batches, the newest first: rows, tasks, tokens and times in seconds."""
        found = await self._service.batches(_count(request))
        return json_response({"kept": self._kept, "batches": [*map(_shown, found)]})


def _count(request: Request) -> int:
    given = request.query_params.get("last", str(_DEFAULT))
    if not given.isdecimal() or len(given) > _DIGITS or not int(given):
        raise InvalidInput(f"expected a whole number from 1, not {given[:20]!r}.", "last")
    return int(given)


def _shown(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "time": round(batch.began_s, 6),
        "lane": batch.lane,
        "rows": batch.num_rows,
        "rows_run": batch.num_distinct,
        "tokens": batch.num_tokens,
        "tasks": batch.tasks,
        "num_tasks": batch.num_tasks,
        "num_adapters": batch.num_adapters,
        "padding_avoided": batch.num_padding_avoided,
        "waited_s": round(batch.waited_s, 6),
        "load_s": round(batch.load_s, 6),
        "compute_s": round(batch.compute_s, 6),
        "error": batch.error or None,
    }
