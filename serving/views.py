"""What clients may know about tasks: plain values, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter_runtime import Note


@dataclass(frozen=True, slots=True)
class TrafficView:
    """What a version has answered since it came.

    Args:
        requests, errors: how many were answered, and how many failed by the version's fault.
        p50_s, p95_s: latency of the last requests, in seconds; None before the first.
        compared, disagreed: answers held against another version's, and how many differed.
    """

    requests: int = 0
    errors: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    compared: int = 0
    disagreed: int = 0


@dataclass(frozen=True, slots=True)
class VersionView:
    """What a client may know about a version.

    Args:
        id, digest: None before the files were read, where the entry states none.
        share: of the traffic that it gets now, 0 to 1.
        reasons: why it is rejected or quarantined.
        last_error: the last failure of a load or a request, as a sentence.
        load_s: how long it took to read and check it, in seconds.
        in_flight: requests that it is answering.
        retry_s: seconds until a quarantined or failed version is tried again.
        adapter, head: as the entry states them, Sources absolute.
        example: the inputs of its first example; None where it has none.
    """

    state: str
    id: str | None = None
    digest: str | None = None
    weight: float | None = None
    share: float = 0.0
    shadow: bool = False
    pinned: bool = False
    residency: str | None = None
    kind: str | None = None
    labels: tuple[str, ...] = ()
    reasons: tuple[Note, ...] = ()
    last_error: str | None = None
    load_s: float | None = None
    in_flight: int = 0
    retry_s: float | None = None
    rolled_back: str | None = None
    adapter: Any = None
    head: str | None = None
    example: Any = None
    traffic: TrafficView = TrafficView()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task, for its page and the log.

    Args:
        at: seconds since the epoch.
        what: a word such as `ready`, `rejected`, `promoted`, `rolled_back`, `quarantined`.
    """

    at: float
    what: str
    version: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TaskView:
    """What a client may know about a task.

    `version`, `digest`, `kind` and the like are those of the version that answers.

    Args:
        state: the answering version's state; of a task whose entry is broken: `rejected`.
        versions, events: oldest first.
        rollback: the rule's members; None where nothing rolls back by itself.
    """

    name: str
    state: str
    kind: str | None = None
    labels: tuple[str, ...] = ()
    version: str | None = None
    digest: str | None = None
    residency: str | None = None
    max_tokens: int | None = None
    overflow: str | None = None
    stride: int | None = None
    aggregation: str | None = None
    reason: str | None = None
    example: Any = None
    etag: str | None = None
    is_writable: bool = False
    versions: tuple[VersionView, ...] = ()
    events: tuple[Event, ...] = ()
    rollback: Mapping[str, float | None] | None = None
    previous_weights: Mapping[str, float] | None = None
    retired: tuple[str, ...] = ()
