"""What a server says when it starts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import orjson

from adapter_runtime import EngineInfo, Kind, UnknownTask
from serving.lifecycle.live.states import State
from serving.protocols.describe import EXAMPLES
from serving.service import Service
from serving.views import TaskView

log = logging.getLogger(__name__)
_SHOWN = 12


async def warn_of_absence(service: Service, default_task: str) -> None:
    """Say that nothing answers where no task is named; it may still come."""
    try:
        await service.task(default_task)
    except UnknownTask as error:
        log.warning("--default-task: %s", error)


def banner(
    tasks: Sequence[TaskView],
    info: EngineInfo,
    url: str,
    *admin_urls: str,
    wants_key: bool = False,
    grpc: str | None = None,
) -> str:
    """What is served and what to try."""
    curl = 'curl -H "x-api-key: $KEY"' if wants_key else "curl"
    fine = [task for task in tasks if task.state != State.REJECTED]
    lines = [f"Polyhead serves {len(fine)} tasks on {url}"]
    lines.append(f"  backbone {info.backbone} ({info.model_type}, {info.dtype} on {info.device})")
    lines += [f"  {task.name:<24} {task.kind or '?'}" for task in fine[:_SHOWN]]
    lines[1:1] = [f"  operators on {each}" for each in admin_urls]
    lines[1:1] = [f"  gRPC on {grpc}"] * (grpc is not None)
    if len(fine) > _SHOWN:
        lines.append(f"  … and {len(fine) - _SHOWN} more: {curl} {url}/tasks")
    num_pending = sum(task.state == State.PENDING for task in fine)
    if num_pending:
        lines.append(f"  {num_pending} pending: read and checked when first asked")
    lines += [f"  NOT served: {task.name}: {task.reason}" for task in tasks if task not in fine]
    known = next((task for task in fine if task.kind is not None), None)
    if known is not None:
        body = orjson.dumps({"inputs": EXAMPLES[Kind(str(known.kind))]}).decode()
        lines.append(f"Try:   {curl} {url}/models/{known.name} -d '{body}'")
    elif not tasks:
        lines.append(f'Make:  {curl} -X PUT {url}/tasks/NAME -d \'{{"adapter": "./folder"}}\'')
    lines.append(f"Read:  {url}/docs    Stop: Ctrl-C")
    return "\n".join(lines)
