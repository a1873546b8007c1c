"""The ingress of the affine topology: every protocol, and no engine."""

from __future__ import annotations

from typing import Any

from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from deploy.ray_serve.handles import RayReplicas
from deploy.ray_serve.proxied import behind_proxy
from deploy.ray_serve.recorder import RayRecorder
from deploy.ray_serve.remote import RemoteService
from deploy.ray_serve.retrying import Patience
from serving.app import create_app
from serving.logs import set_up_logs
from serving.settings import Settings


class Ingress:
    """Serves HTTP like a single server; its Service asks replicas.

    `serve.ingress()` makes it a deployment: Ray builds the application in the actor.

    Args:
        replicas: handle of the `Replica` deployment.
        settings: limits of bodies and time.
        retries: how often a prediction is sent again when its replica is lost, 0 or more.
    """

    def __init__(
        self, replicas: DeploymentHandle[Any], settings: Settings, retries: int = 2
    ) -> None:
        set_up_logs(settings.log_format, settings.log_level)
        self._settings = settings
        self._recorder = RayRecorder(settings.max_task_labels)
        patience = Patience(tries=1 + retries)
        self._service = RemoteService(RayReplicas(replicas), self._recorder, patience)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application; Ray runs its lifespan, which starts and stops the service."""
        app = create_app(self._service, self._settings, self._recorder, self._service.facts)
        return behind_proxy(app)

    async def drain(self) -> None:
        """Refuse everything new from now on; what is inside goes on."""
        self._service.drain()

    async def num_inside(self) -> int:
        """Calls taken and not yet answered."""
        return self._service.num_inside
