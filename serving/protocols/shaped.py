"""Routes whose errors have their protocol's shape."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import Refusal, refusal


def shaped_by(refused_as: Callable[[Refusal], Response]) -> type[APIRoute]:
    """The class of routes that answer whatever their function raises.

    Args:
        refused_as: a refusal as the protocol states it.
    """

    class ShapedRoute(APIRoute):
        """A route of the protocol."""

        shape = staticmethod(refused_as)

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """The route's function, and an answer for whatever it raises."""
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                """What the function answers, or its error in the protocol's shape."""
                try:
                    return await handle(request)
                except HTTPException:
                    raise
                except Exception as error:
                    return refused_as(refusal(error))

            return answer

    return ShapedRoute
