"""Operators' routes on a port of their own, which need not be open to clients."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.admission.scopes import PREDICT, PUBLIC, needed_actions
from serving.errors import Refusal
from serving.guarding import routed_path
from serving.protocols.wire import refusal_response

_USAGE = "/usage"


class OperatorsPort:
    """Answers 404 for what operators ask, unless it comes in by their port; there, all is served.

    Args:
        app: what is served.
        port: theirs.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "http" and is_for_operators(scope) and not self._is_theirs(scope):
            message = f"{scope['method']} {scope['path']}: not found on this port."
            await refusal_response(Refusal(404, "not_found", message))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_theirs(self, scope: Scope) -> bool:
        # Where the connection was accepted; no header of the client's has a say in it.
        _, port = scope.get("server") or (None, None)
        return bool(port == self._port)


def is_for_operators(scope: Scope) -> bool:
    """Whether a request is none that clients have: administration, metrics, usage, or unknown."""
    path = routed_path(scope)
    needed = needed_actions(scope["method"], path)
    return path == _USAGE or needed.isdisjoint(PREDICT | PUBLIC)
