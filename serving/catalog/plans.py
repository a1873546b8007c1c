"""What the catalog says of tasks: frozen values, before any file of an adapter is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapter_runtime import TaskSpec


@dataclass(frozen=True, slots=True)
class VersionPlan:
    """One version as its entry states it.

    Args:
        spec: what to read; `spec.pinned` is the version's own.
        key: 64 hex digits of the entry's meaning; tells versions without an id apart.
        id: as given; None means the first 12 digits of the digest, known once the files are read.
        digest: what the files must still give; None where nobody has written it down.
        weight: its share of the traffic against the other versions' weights, 0 or more.
        shadow: it gets copies of the traffic and answers nobody.
        rolled_back: why it was taken out of the traffic; None when it was not.
    """

    spec: TaskSpec
    key: str
    id: str | None = None
    digest: str | None = None
    weight: float | None = None
    shadow: bool = False
    rolled_back: str | None = None


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """When a new version is taken out of the traffic by itself.

    Args:
        error_rate: share of requests that may fail, 0 to 1; None: failing is no reason.
        disagreement: share of compared answers that may differ, 0 to 1; None: it is no reason.
        min_requests: how many of the last requests, or comparisons, are judged; none before.
    """

    error_rate: float | None = None
    disagreement: float | None = None
    min_requests: int = 100


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task as its entry states it.

    Args:
        name: what clients call it.
        versions: oldest first, at least one.
        rollback: None where nothing rolls back by itself.
        previous_weights: by id, what a rollback restores; None where there is nothing.
        retired: ids that were versions once.
        etag: changes whenever the entry does.
    """

    name: str
    versions: tuple[VersionPlan, ...]
    rollback: RollbackRule | None = None
    previous_weights: Mapping[str, float] | None = None
    retired: tuple[str, ...] = ()
    etag: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether any version has a weight; without, the newest ready one takes all."""
        return any(plan.weight is not None for plan in self.versions)


@dataclass(frozen=True, slots=True)
class Broken:
    """A task whose entry cannot be used, and why."""

    name: str
    reason: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """What a task file or folder says: usable entries and broken ones, each name once."""

    backbone: str | None
    plans: tuple[TaskPlan, ...]
    broken: tuple[Broken, ...] = ()
