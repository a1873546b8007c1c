"""The whole topology: every replica is a full server."""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import asdict
from typing import Any

from starlette.types import ASGIApp

from deploy.ray_serve.proxied import behind_proxy
from deploy.ray_serve.recorder import RayRecorder
from deploy.ray_serve.scaling import QUEUED_TOKENS
from deploy.ray_serve.warming import keep_measuring, wait_until_warm
from serving.app import create_app
from serving.errors import refusal
from serving.hot_service import HotService
from serving.logs import set_up_logs
from serving.opening import Opened, Opener, open_backbone, open_catalog, open_tasks
from serving.settings import Settings

_SWITCH_S = 0.0002
"""As in `serving.serve`: a forward needs the interpreter's lock between two products."""


class Server:
    """What `polyhead serve` runs, in a Ray actor: the same service and the same application.

    Ray awaits the constructor, then has the application built and started.

    Args:
        settings: of the service; where it listens does not matter here.
        opener: loads the backbone.
    """

    async def __init__(  # type: ignore[misc]
        self, settings: Settings, opener: Opener = open_backbone
    ) -> None:
        set_up_logs(settings.log_format, settings.log_level)
        sys.setswitchinterval(_SWITCH_S)
        self._settings = settings
        self._opened = await asyncio.to_thread(_open, settings, opener)
        self._recorder = RayRecorder(settings.max_task_labels)
        self._service = _WarmService(self._opened, settings, self._recorder)
        await asyncio.to_thread(self._service.outline, settings.load_threads)
        gc.collect()
        gc.freeze()
        self._measuring = asyncio.ensure_future(keep_measuring(self._service))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application; Ray runs its lifespan, which starts and stops the service."""
        facts: dict[str, Any] = asdict(self._opened.engine.info)
        app = create_app(self._service, self._settings, self._recorder, facts)
        return behind_proxy(app)

    def __del__(self) -> None:
        """Ray calls it when nothing is inside any more and the service has stopped."""
        if hasattr(self, "_measuring"):
            self._measuring.cancel()
            self._opened.engine.close()

    async def drain(self) -> None:
        """Refuse everything new from now on; what is inside goes on."""
        self._service.drain()

    async def num_inside(self) -> int:
        """Calls admitted and not yet answered."""
        return self._service.num_inside

    async def close(self) -> None:
        """Write down what is good to know for the next start; what still comes is refused."""
        await asyncio.to_thread(self._service.stop)

    async def check_health(self) -> None:
        """Ray restarts a replica whose device does not compute.

        Raises:
            RuntimeError: it does not; plain, because ours do not survive the way to Ray.
        """
        try:
            await self._service.check()
        except Exception as error:
            raise RuntimeError(refusal(error).message) from None

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tokens that wait for the device; see `QueuedTokensPolicy`."""
        return {QUEUED_TOKENS: float(self._service.queued_tokens)}


class _WarmService(HotService):
    """A service that has started when it is warm: only then does Ray send requests."""

    async def start(self) -> None:
        await super().start()
        await wait_until_warm(self)


def _open(settings: Settings, opener: Opener) -> Opened:
    return open_tasks(settings, open_catalog(settings), opener)
