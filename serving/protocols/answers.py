"""How a task or a version is answered, and when nothing may change any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from adapter_runtime import RejectedAdapter
from serving.errors import Draining, refusal
from serving.protocols.describe import describe
from serving.protocols.wire import json_response, refusal_response
from serving.service import Service
from serving.views import TaskView, VersionView

_RETRY_S = 1.0
_LIVE = {"cache-control": "no-store"}
"""The ETag guards the entry; what stands beside it changes with every request."""


def task_response(view: TaskView, status: int = 200) -> Response:
    """A task, with the ETag that guards changes to it and, of a new one, its address."""
    headers = dict(_LIVE)
    if view.etag is not None:
        headers["etag"] = f'"{view.etag}"'
    if status == 201:
        headers["location"] = f"/tasks/{quote(view.name, safe='')}"
    return json_response(describe(view), status, headers)


def version_response(name: str, version: VersionView, content: Mapping[str, Any]) -> Response:
    """A version's page; that of a rejected one is 424, with every reason.

    Args:
        name: of the task.
        version: whose page it is.
        content: what the page says.
    """
    if version.state == "rejected":
        refused = refusal(RejectedAdapter(f"{name} {version.id}", version.reasons))
        return refusal_response(refused, content)
    return json_response(content, headers=_LIVE)


def refuse_while_draining(service: Service) -> None:
    """Raises Draining where nothing may change any more."""
    if service.is_draining:
        raise Draining("The server is stopping; send the change again.", _RETRY_S)
