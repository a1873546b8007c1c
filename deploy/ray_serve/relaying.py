"""What replicas tell instead of raising, and how it is raised again in the ingress."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from adapter_runtime import PolyheadError, UnknownTask
from serving.errors import (
    Refusal,
    Relayed,
    ServerBusy,
    UnknownVersion,
    VersionRetired,
    refusal,
)

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class ReplicaLost(ServerBusy):
    """Replicas went with the request inside, and it cannot be tried once more."""

    code = "replica_lost"


class _RelayedUnknownTask(Relayed, UnknownTask):
    """A replica's catalog has no such task."""

    def __init__(self, refused: Refusal) -> None:
        Exception.__init__(self, refused.message)  # the sentence is complete already
        self.refused = refused
        self.task, self.near = "", ()


class _RelayedUnknownVersion(Relayed, UnknownVersion):
    """A replica's catalog has no such version."""


class _RelayedRetired(Relayed, VersionRetired):
    """A replica knows that the version answers no more."""


_ABSENT: dict[str, type[Relayed]] = {
    UnknownTask.code: _RelayedUnknownTask,
    UnknownVersion.code: _RelayedUnknownVersion,
    VersionRetired.code: _RelayedRetired,
}
"""Errors that protocols tell apart by their type."""


def relay(refused: Refusal) -> Relayed:
    """A replica's refusal as an error; those for what is absent keep their type."""
    return _ABSENT.get(refused.code, Relayed)(refused)


def unpack(answer: Any) -> Any:
    """What a replica answered.

    Raises:
        Relayed: it refused.
    """
    if isinstance(answer, Refusal):
        raise relay(answer)
    return answer


async def told(work: Awaitable[Result]) -> Result | Refusal:
    """The work's result; an error as what a client would see of it."""
    try:
        return await work
    except PolyheadError as error:
        return refusal(error)
    except Exception as error:
        log.exception("A request met an unexpected error")
        return refusal(error)
