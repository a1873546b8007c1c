"""Headers that guard a change: it is made only if the task is as the client saw it."""

from __future__ import annotations

import re

from starlette.requests import Request

from adapter_runtime import InvalidInput, UnknownTask
from serving.service import Service

ANY, NONE = "*", "-"
_TAG = re.compile(r'(?:W/)?"([^"]*)"|([^",\s]+)')


async def expected(service: Service, name: str, request: Request) -> str | None:
    """What a change may expect of the task: an etag, `*` for any, `-` for none, None for no guard.

    Args:
        service: knows which of several etags is the present one.
        name: of the task.
        request: its headers say.

    Raises:
        InvalidInput: the headers contradict each other, or make no sense for a change.
    """
    match = request.headers.get("if-match")
    none_match = request.headers.get("if-none-match")
    if none_match is not None:
        if none_match.strip() != ANY or match is not None:
            raise InvalidInput("takes `*` only, and not beside If-Match.", "if-none-match")
        return NONE
    if match is None:
        return None
    if match.strip() == ANY:
        return ANY
    tags = [quoted or bare for quoted, bare in _TAG.findall(match)]
    tags = [tag for tag in tags if tag and tag not in (ANY, NONE)]
    if not tags:
        raise InvalidInput("holds no ETag; send the one that GET answered with.", "if-match")
    present = await _etag(service, name)
    return present if present in tags else tags[0]


async def _etag(service: Service, name: str) -> str | None:
    try:
        return (await service.task(name)).etag
    except UnknownTask:
        return None
