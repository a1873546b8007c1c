"""What can go wrong on the way over Ray, in our own words."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deploy.ray_serve.handles import RayReplicas
from deploy.ray_serve.retrying import Lost
from serving.errors import Overloaded, ServerBusy

NAME = DeploymentID("Replica", "polyhead")


class FakeResponse:
    """A response that fails, or never comes.

    Args:
        error: raised when it is awaited; None: it never comes.
    """

    def __init__(self, error: BaseException | None) -> None:
        self._error = error
        self.is_cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        if self._error is not None:
            raise self._error
        yield from asyncio.get_running_loop().create_future().__await__()

    def cancel(self) -> None:
        """Remembers it."""
        self.is_cancelled = True


class FakeHandle:
    """A deployment's handle with one response.

    Args:
        response: for every call.
    """

    def __init__(self, response: FakeResponse) -> None:
        self._response = response

    def options(self, method_name: str) -> FakeHandle:
        """Itself, for every method."""
        return self

    def remote(self, *args: Any) -> FakeResponse:
        """The response."""
        return self._response


def over(error: BaseException | None) -> tuple[RayReplicas, FakeResponse]:
    """Replicas behind a handle whose calls fail so."""
    response = FakeResponse(error)
    return RayReplicas(FakeHandle(response)), response  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "told"),
    (
        (ActorDiedError(), Lost),
        (ActorUnavailableError("away", b"0" * 16), Lost),
        (BackPressureError(num_queued_requests=9, max_queued_requests=9), Overloaded),
        (DeploymentUnavailableError(NAME), ServerBusy),
        (asyncio.CancelledError(), Lost),
        (RuntimeError("Unexpected error (StatusCode.UNAVAILABLE): Socket closed."), Lost),
        (RuntimeError("Unexpected error (StatusCode.INTERNAL): no room."), RuntimeError),
        (RayTaskError("answer", "a traceback", ValueError("a bug")), RayTaskError),
    ),
    ids=lambda each: getattr(each, "__name__", type(each).__name__),
)
async def test_rays_errors_are_told_apart(error: BaseException, told: type[BaseException]) -> None:
    """What may be tried again, what is full, what is not there; a bug stays one."""
    replicas, _ = over(error)
    with pytest.raises(told):
        await replicas.ask("answer", "topic")


async def test_a_caller_that_is_cancelled_cancels_the_call() -> None:
    """It is not taken for a replica that went."""
    replicas, response = over(None)
    asking = asyncio.ensure_future(replicas.ask("answer", "topic"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert response.is_cancelled
