"""An engine replica: a whole service in a Ray actor, asked over Ray instead of HTTP."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from deploy.ray_serve.engine_recorder import EngineRecorder
from deploy.ray_serve.relaying import told
from deploy.ray_serve.router import REFUSED, RESIDENT
from deploy.ray_serve.scaling import QUEUED_TOKENS
from deploy.ray_serve.warming import keep_measuring, wait_until_warm
from serving.errors import Refusal
from serving.hot_service import HotService
from serving.logs import request_id_var, set_up_logs
from serving.opening import Opened, Opener, open_backbone, open_catalog, open_tasks
from serving.recent import Batch
from serving.service import Answer, Call
from serving.settings import Settings
from serving.views import TaskView

_SWITCH_S = 0.0002
"""As in `serving.serve`: a forward needs the interpreter's lock between two products."""


class Replica:
    """Answers like a server, with plain values: an error of ours is returned as its Refusal.

    Ray awaits the constructor, and sends requests when it has returned: the backbone is loaded by
    then, and what is to be loaded at start has been or has failed.

    Args:
        settings: of the service; where it listens does not matter here.
        opener: loads the backbone.
    """

    async def __init__(  # type: ignore[misc]
        self, settings: Settings, opener: Opener = open_backbone
    ) -> None:
        set_up_logs(settings.log_format, settings.log_level)
        sys.setswitchinterval(_SWITCH_S)
        self._opened = await asyncio.to_thread(_open, settings, opener)
        recorder = EngineRecorder(settings.max_task_labels)
        self._service = HotService(self._opened, settings, recorder)
        await asyncio.to_thread(self._service.outline, settings.load_threads)
        gc.collect()
        gc.freeze()
        await self._service.start()
        await wait_until_warm(self._service)
        self._measuring = asyncio.ensure_future(keep_measuring(self._service))
        self._is_stopped = False
        self._name = _name()

    def __del__(self) -> None:
        """Ray calls it when nothing is inside any more."""
        if getattr(self, "_is_stopped", True):
            return
        self._is_stopped = True
        self._measuring.cancel()
        self._service.stop()
        self._opened.engine.close()

    async def close(self) -> None:
        """Write down what is good to know for the next start; what still comes is refused."""
        if not self._is_stopped:
            self._is_stopped = True
            await asyncio.to_thread(self._service.stop)

    async def answer(self, call: Call) -> Answer | Refusal:
        """As `Service.answer`; ends where Ray cancels it."""
        request_id_var.set(call.request_id)
        return await told(self._service.answer(call))

    async def tasks(self) -> Sequence[TaskView] | Refusal:
        """As `Service.tasks`."""
        return await told(self._service.tasks())

    async def task(self, name: str) -> TaskView | Refusal:
        """As `Service.task`."""
        return await told(self._service.task(name))

    async def batches(self, last: int) -> list[Batch]:
        """As `Service.batches`, each lane with the replica's own name before it."""
        found = await self._service.batches(last)
        return [replace(each, lane=f"{self._name}/{each.lane}") for each in found]

    async def names(self) -> list[str]:
        """Names of all tasks."""
        return [task.name for task in self._opened.tasks]

    async def put(
        self, name: str, entry: Mapping[str, Any], expected: str | None
    ) -> bool | Refusal:
        """As `LifeCycle.put`."""
        return await told(self._service.life_cycle.put(name, entry, expected))

    async def delete(self, name: str, version: str | None, expected: str | None) -> Refusal | None:
        """As `LifeCycle.delete`."""
        return await told(self._service.life_cycle.delete(name, version, expected))

    async def act(
        self, name: str, version: str, action: str, expected: str | None
    ) -> Refusal | None:
        """As `LifeCycle.act`."""
        return await told(self._service.life_cycle.act(name, version, action, expected))

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None,
    ) -> Refusal | None:
        """As `LifeCycle.set_traffic`."""
        return await told(self._service.life_cycle.set_traffic(name, weights, shadow, expected))

    async def look(self) -> None:
        """Take over what the catalog says now."""
        await self._service.look()

    async def check(self) -> Refusal | None:
        """As `Service.check`."""
        return await told(self._service.check())

    async def vitals(self) -> dict[str, Any]:
        """What an ingress keeps in mind of a replica."""
        facts = asdict(self._opened.engine.info)
        return {"is_warm": self._service.is_warm, "facts": facts}

    async def check_health(self) -> None:
        """Ray restarts a replica whose device does not compute.

        Raises:
            RuntimeError: it does not; plain, because ours do not survive the way to Ray.
        """
        refused = await self.check()
        if refused is not None:
            raise RuntimeError(refused.message)

    async def record_routing_stats(self) -> dict[str, list[str]]:
        """Which tasks are on the device here, and which cannot answer; see `AffineRouter`."""
        found = await asyncio.to_thread(self._service.whereabouts)
        return {RESIDENT: list(found.resident), REFUSED: list(found.refused)}

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tokens that wait for the device; see `QueuedTokensPolicy`."""
        return {QUEUED_TOKENS: float(self._service.queued_tokens)}


def _name() -> str:
    """What Ray calls this replica."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        return str(serve.get_replica_context().replica_id.unique_id)
    except RayServeException:  # called outside Ray
        return "replica"


def _open(settings: Settings, opener: Opener) -> Opened:
    return open_tasks(settings, open_catalog(settings), opener)
