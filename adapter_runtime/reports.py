"""What the runtime tells about itself, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter_runtime.types import NOTHING, Kind, Note


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a request's time went, in seconds."""

    encode_s: float = 0.0
    queue_s: float = 0.0
    load_s: float = 0.0
    compute_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The doctor's verdict on one checkpoint."""

    accepted: bool
    problems: tuple[Note, ...] = ()
    warnings: tuple[Note, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: NOTHING, hash=False)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What is resident now; counts, and bytes on host and device.

    Args:
        pinned: adapters and heads that pinned versions hold now.
        shared_bytes: of the resident bytes, those that are no copy: a CPU computes with the
            host's own tensors.
        device_evictions, host_evictions: adapters and heads that lost their place so far.
        host_loads, failed_loads: times that evicted weights were read again, and could not be.
    """

    resident_adapters: int
    resident_bytes: int
    host_adapters: int
    host_bytes: int
    free_slots: int
    device_evictions: int = 0
    host_evictions: int = 0
    pinned: int = 0
    host_loads: int = 0
    failed_loads: int = 0
    shared_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """What a task's configs say without its weights; None and empty where they do not say it.

    Args:
        kind, labels: as the version will have them.
        is_here: all its folders lie on this machine, so that nobody is asked when it is read.
    """

    kind: Kind | None = None
    labels: tuple[str, ...] = ()
    is_here: bool = False
