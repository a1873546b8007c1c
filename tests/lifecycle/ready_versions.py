"""Live versions that answer, without an engine."""

from __future__ import annotations

from adapter_runtime import HeadSpec, Kind, Limits, TaskSpec, TaskVersion
from serving.catalog.plans import VersionPlan
from serving.lifecycle.live.states import State
from serving.lifecycle.live.version import Version


def ready(
    id: str,
    weight: float | None = None,
    shadow: bool = False,
    kind: Kind = Kind.TEXT_CLASSIFICATION,
) -> Version:
    """A live version that answers."""
    spec = TaskSpec("topic")
    version = Version("topic", VersionPlan(spec, id * 64, id, weight=weight, shadow=shadow))
    head = HeadSpec("classification", None, ("yes", "no"))
    version.prepared = TaskVersion("topic", id, id * 64, kind, head, None, Limits(), spec)
    version.state = State.READY
    return version
