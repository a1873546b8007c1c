"""An engine replica: a whole service in a Ray actor, asked over Ray instead of HTTP."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from adapter_runtime import PolyheadError
from deploy.ray_serve.router import REFUSED, RESIDENT
from deploy.ray_serve.scaling import QUEUED_TOKENS
from serving.errors import Refusal, refusal
from serving.hot_service import HotService
from serving.logs import request_id_var, set_up_logs
from serving.metrics import Recorder
from serving.opening import Opened, Opener, open_backbone, open_catalog, open_tasks
from serving.service import Answer, Call
from serving.settings import Settings
from serving.views import TaskView

log = logging.getLogger(__name__)
_SWITCH_S = 0.0002
"""As in `serving.serve`: a forward needs the interpreter's lock between two products."""
_LONGEST_WARMING_S = 600.0
_LOOK_S = 0.05
_MEASURE_S = 5.0
Result = TypeVar("Result")


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
        self._service = HotService(self._opened, settings, recorder_of(settings))
        await asyncio.to_thread(self._service.outline, settings.load_threads)
        gc.collect()
        gc.freeze()
        await self._service.start()
        await self._warm_up()
        self._measuring = asyncio.ensure_future(self._keep_measuring())
        self._is_stopped = False

    async def _warm_up(self) -> None:
        for _ in range(round(_LONGEST_WARMING_S / _LOOK_S)):
            if self._service.is_warm:
                return
            await asyncio.sleep(_LOOK_S)
        log.warning("Pinned tasks are still loading after %g s; it answers", _LONGEST_WARMING_S)

    async def _keep_measuring(self) -> None:
        """Nobody asks a replica for its metrics: Ray's exporter shows the gauges as they are."""
        while True:
            await asyncio.to_thread(self._service.measure)
            await asyncio.sleep(_MEASURE_S)

    def __del__(self) -> None:
        """Ray calls it when nothing is inside any more."""
        if getattr(self, "_is_stopped", True):
            return
        self._is_stopped = True
        self._measuring.cancel()
        self._service.stop()
        self._opened.engine.close()

    async def answer(self, call: Call) -> Answer | Refusal:
        """As `Service.answer`; ends where Ray cancels it."""
        request_id_var.set(call.request_id)
        return await _told(self._service.answer(call))

    async def tasks(self) -> Sequence[TaskView] | Refusal:
        """As `Service.tasks`."""
        return await _told(self._service.tasks())

    async def task(self, name: str) -> TaskView | Refusal:
        """As `Service.task`."""
        return await _told(self._service.task(name))

    async def put(
        self, name: str, entry: Mapping[str, Any], expected: str | None
    ) -> bool | Refusal:
        """As `LifeCycle.put`."""
        return await _told(self._service.life_cycle.put(name, entry, expected))

    async def delete(self, name: str, version: str | None, expected: str | None) -> Refusal | None:
        """As `LifeCycle.delete`."""
        return await _told(self._service.life_cycle.delete(name, version, expected))

    async def act(
        self, name: str, version: str, action: str, expected: str | None
    ) -> Refusal | None:
        """As `LifeCycle.act`."""
        return await _told(self._service.life_cycle.act(name, version, action, expected))

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None,
    ) -> Refusal | None:
        """As `LifeCycle.set_traffic`."""
        return await _told(self._service.life_cycle.set_traffic(name, weights, shadow, expected))

    async def look(self) -> None:
        """Take over what the catalog says now."""
        await self._service.look()

    async def check(self) -> Refusal | None:
        """As `Service.check`."""
        return await _told(self._service.check())

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


def _open(settings: Settings, opener: Opener) -> Opened:
    return open_tasks(settings, open_catalog(settings), opener)


async def _told(work: Awaitable[Result]) -> Result | Refusal:
    """The work's result; an error as what a client would see of it."""
    try:
        return await work
    except PolyheadError as error:
        return refusal(error)
    except Exception as error:
        log.exception("A request met an unexpected error")
        return refusal(error)


def recorder_of(settings: Settings) -> Recorder:
    """The replica's recorder."""
    from serving.metrics import PrometheusRecorder

    return PrometheusRecorder(settings.max_task_labels)
