"""`GET /usage`: what keys have used since the start."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from serving.admission.gate import Gate
from serving.admission.scopes import ADMIN, ANY, METRICS
from serving.protocols.openapi import errors, success
from serving.protocols.wire import json_response


class UsageProtocol:
    """Shows usage.

    Args:
        gate: has booked it.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["server"], default_response_class=Response)
        shown = success("Requests, refused ones among them, and tokens.") | errors(401, 403)
        router.add_api_route("/usage", self.show, responses=shown)
        return router

    async def show(self) -> Response:
        """The key's own usage by task since the start; that of all keys for metrics or admin."""
        key = self._gate.key(ANY)
        usage = self._gate.usage
        names = usage.names() if key.may(METRICS | ADMIN) else [key.name]
        keys = [{"name": name, "tasks": usage.of(name, key.may_name)} for name in names]
        return json_response({"keys": keys})
