"""Who may come in at all: every HTTP request shows a key that may do what it asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter_runtime import InvalidInput, PolyheadError
from serving.admission.gate import Gate, check_actions
from serving.admission.keys import PRIORITIES, Key
from serving.admission.scopes import PUBLIC, Actions, needed_actions
from serving.callers import ANYBODY, Caller, caller_var
from serving.errors import Refusal, Unauthorized, refusal
from serving.protocols.wire import refusal_response

Headers = Iterable[tuple[bytes, bytes]]
Shape = Callable[[Refusal], Response]
_BEARER = b"bearer "
_KEYS = (b"authorization", b"x-api-key")
_PRIORITY = b"x-priority"
_POLICY_VIOLATION = 1008
_HINT = "send Authorization: Bearer KEY or x-api-key: KEY"


class Guard:
    """Asks for keys before anything else of the application sees a request.

    Args:
        app: what is guarded.
        gate: knows the keys.
        routes: of the application, so that who is refused is told so in the words of the protocol
            that they speak.
    """

    def __init__(self, app: ASGIApp, gate: Gate, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._gate = gate
        self._shapes = list(_shapes(routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if scope["type"] == "http":
            # A connection's next request may begin with what the last one has left here.
            caller_var.set(ANYBODY)
            try:
                caller_var.set(self._caller(scope))
            except PolyheadError as error:
                self._gate.refused(error)
                response = self._shape(routed_path(scope))(refusal(error))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        needed = needed_actions(scope["method"], routed_path(scope))
        if needed == PUBLIC:
            return ANYBODY
        return authenticate(self._gate, scope["headers"], needed)

    def _shape(self, path: str) -> Shape:
        found = (shape for pattern, shape in self._shapes if pattern.match(path))
        return next(found, refusal_response)


def authenticate(gate: Gate, headers: Headers, needed: Actions) -> Caller:
    """Who sends a request, and may: a fresh value, for its identity stands for the request.

    Args:
        gate: knows the keys.
        headers: of HTTP, or metadata of gRPC; names in lower case.
        needed: actions of which the key must have one.

    Raises:
        Unauthorized: no key, or none that is valid.
        Forbidden: the key may not do that.
        InvalidInput: the priority is none.
    """
    given = list(headers)
    key = gate.keys.ring.find(_secret(given))
    if key is None:
        raise Unauthorized(f"This key is not valid, or not any more; {_HINT}.")
    check_actions(key, needed)
    return Caller(key.name, _priority(key, given), key.weight)


def routed_path(scope: Scope) -> str:
    """The path as the router sees it: without the prefix that a proxy says it is mounted at."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    is_below = root and (path == root or path.startswith(f"{root}/"))
    return path[len(root) :] if is_below else path


def _shapes(routes: Sequence[BaseRoute]) -> Iterable[tuple[re.Pattern[str], Shape]]:
    for context in iter_route_contexts(routes):
        shape = getattr(context.original_route, "shape", None)
        if shape is not None:
            yield context.path_regex, shape


def _secret(headers: Headers) -> bytes:
    """The one secret that a request shows."""
    found = {_bare(name, value) for name, value in headers if name in _KEYS}
    if not found:
        raise Unauthorized(f"A key is needed here; {_HINT}.")
    if len(found) > 1:
        raise Unauthorized(f"The request shows different keys; {_HINT}.")
    return found.pop()


def _bare(name: bytes, value: bytes) -> bytes:
    if name == b"x-api-key":
        return value.strip()
    if value[: len(_BEARER)].lower() != _BEARER:
        raise Unauthorized(f"Only Bearer is understood; {_HINT}.")
    return value[len(_BEARER) :].strip()


def _priority(key: Key, headers: Headers) -> int:
    """What the request asks for, at most what its key may have."""
    most = PRIORITIES[key.priority]
    wishes = {value.strip().lower() for name, value in headers if name == _PRIORITY}
    if not wishes:
        return min(0, most)
    asked = [PRIORITIES.get(wish.decode("latin-1")) for wish in wishes]
    if len(asked) > 1 or asked[0] is None:
        raise InvalidInput("expected high, normal or low.", "x-priority")
    return min(asked[0], most)
