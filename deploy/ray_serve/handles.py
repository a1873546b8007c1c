"""Asking replicas over Ray, with what can go wrong on the way in our own words."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deploy.ray_serve.retrying import Lost
from serving.errors import Overloaded, ServerBusy

log = logging.getLogger(__name__)
_LOST = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError)
"""What Ray raises when a replica goes, or cannot be reached, with a request inside."""
_BROKEN = ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED")
_RETRY_AFTER_S = 1.0


class Replicas(Protocol):
    """The replicas of the engine deployment, as an ingress asks them."""

    async def ask(self, method: str, *args: Any) -> Any:
        """One replica's answer; which one is asked follows from the first argument.

        Raises:
            Lost: the replica went with the request inside.
            Overloaded: no replica has room, nor has the queue before them.
            ServerBusy: there is no replica, and none is coming.
        """
        ...

    async def ask_all(self, method: str, *args: Any, within_s: float) -> list[Any] | None:
        """The answers of all replicas; without those that failed. None: one took too long."""
        ...


class RayReplicas:
    """Implements `Replicas` over a deployment's handle.

    Args:
        handle: of the engine deployment.
    """

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle
        self._methods: dict[str, DeploymentHandle[Any]] = {}

    async def ask(self, method: str, *args: Any) -> Any:
        """As `Replicas.ask`; the replica's work ends when the caller is cancelled."""
        response: Any = self._method(method).remote(*args)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Lost(f"{method} was cancelled by its replica") from None
        except _LOST as error:
            raise Lost(f"{method}: {error}") from error
        except BackPressureError as error:
            message = "All replicas are full, and so is the queue before them; try again soon."
            raise Overloaded(message, _RETRY_AFTER_S) from error
        except DeploymentUnavailableError as error:
            raise no_replicas() from error
        except Exception as error:
            if _is_broken_line(error):
                raise Lost(f"{method}: {error}") from error
            raise

    async def ask_all(self, method: str, *args: Any, within_s: float) -> list[Any] | None:
        """As `Replicas.ask_all`."""
        try:
            answers = await self._handle.broadcast(method, *args).results_async(
                timeout_s=within_s, return_exceptions=True
            )
        except DeploymentUnavailableError:
            return []
        except TimeoutError:
            log.warning("Not all replicas answered %s within %g s", method, within_s)
            return None
        for failure in (each for each in answers if isinstance(each, BaseException)):
            log.warning("A replica did not answer %s: %s", method, failure)
        return [each for each in answers if not isinstance(each, BaseException)]

    def _method(self, name: str) -> DeploymentHandle[Any]:
        """A handle for one method; making one costs more than a look-up."""
        if name not in self._methods:
            self._methods[name] = self._handle.options(method_name=name)
        return self._methods[name]


def no_replicas() -> ServerBusy:
    """The error of a request that no replica can take."""
    return ServerBusy("No replica is up yet; try again soon.", _RETRY_AFTER_S)


def _is_broken_line(error: Exception) -> bool:
    """Whether a replica went in gRPC's words, which Ray translates only after its first answer."""
    text = str(error)
    is_grpc = type(error).__name__ == "AioRpcError" or text.startswith("Unexpected error (Status")
    return is_grpc and any(each in text for each in _BROKEN)
