"""What clients are told about tasks and their versions, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from adapter_runtime import Kind
from serving.errors import UnknownVersion, VersionRetired
from serving.protocols.wire import notes
from serving.views import Event, TaskView, TrafficView, VersionView

EXAMPLES: Mapping[Kind, Any] = MappingProxyType(
    {
        Kind.TEXT_CLASSIFICATION: "A warm and funny film.",
        Kind.TOKEN_CLASSIFICATION: "The old dog sleeps in the garden.",
        Kind.QUESTION_ANSWERING: {
            "question": "Where does the dog sleep?",
            "context": "The old dog sleeps in the garden.",
        },
        Kind.MULTIPLE_CHOICE: {
            "context": "It rains hard.",
            "choices": ["I take an umbrella.", "I water the garden."],
        },
        Kind.FEATURE_EXTRACTION: "A warm and funny film.",
        Kind.SENTENCE_SIMILARITY: {
            "source_sentence": "The dog sleeps.",
            "sentences": ["A dog is asleep.", "Shares fell today."],
        },
        Kind.FILL_MASK: "The old dog [MASK] in the garden.",
        Kind.TEXT_GENERATION: "The old dog sleeps in the",
        Kind.ZERO_SHOT_CLASSIFICATION: {
            "text": "The parcel never arrived.",
            "candidate_labels": ["delivery", "billing", "returns"],
        },
        Kind.TEXT_RANKING: {
            "query": "Where does the dog sleep?",
            "texts": ["Shares fell today.", "The old dog sleeps in the garden."],
        },
        Kind.DEPENDENCY_PARSING: {"words": ["The", "old", "dog", "sleeps", "."]},
    }
)
"""An input to try for each kind."""
_ABLE = frozenset({"ready", "pending", "loading", "checking"})
"""States of which a request ends in an answer, be it after waiting."""


def describe(view: TaskView) -> dict[str, Any]:
    """A task with everything that is known of it; what is not known is null."""
    versions = [describe_version(each) for each in view.versions]
    events = [_event(each) for each in view.events]
    return {**outline(view), "example": view.example, "versions": versions, "events": events}


def outline(view: TaskView) -> dict[str, Any]:
    """A task as it stands in a list: without what its versions answered and what happened."""
    return {
        "name": view.name,
        "kind": view.kind,
        "labels": view.labels,
        "state": view.state,
        "version": view.version,
        "digest": view.digest,
        "residency": view.residency,
        "limits": {
            "max_tokens": view.max_tokens,
            "overflow": view.overflow,
            "stride": view.stride,
            "aggregation": view.aggregation,
        },
        "reason": view.reason,
        "etag": view.etag,
        "writable": view.is_writable,
        "rollback": view.rollback and dict(view.rollback),
        "previous_weights": view.previous_weights and dict(view.previous_weights),
        "retired": view.retired,
        "versions": [_version(each) for each in view.versions],
    }


def describe_version(version: VersionView) -> dict[str, Any]:
    """A version and what it has answered."""
    return {**_version(version), "traffic": _traffic(version.traffic)}


def describe_as(view: TaskView, version: VersionView) -> dict[str, Any]:
    """A task as it would be if this version alone answered."""
    own = {
        "kind": version.kind,
        "labels": version.labels,
        "state": version.state,
        "version": version.id,
        "digest": version.digest,
        "residency": version.residency,
        "reason": reason_of(version),
        "example": version.example,
    }
    return {**describe(view), **own}


def find_version(view: TaskView, id: str) -> VersionView:
    """The version of an id.

    Raises:
        VersionRetired: it was there once.
        UnknownVersion: there is none; lists those that are.
    """
    found = next((each for each in view.versions if each.id == id), None)
    if found is not None and found.state != "retired":
        return found
    if found is not None or id in view.retired:
        raise VersionRetired(f"Version {id!r} of {view.name} is retired; ask for another one.")
    known = ", ".join(each.id for each in view.versions if each.id is not None)
    known = f"it has {known}" if known else "the ids of its versions are not known yet"
    raise UnknownVersion(f"{view.name} has no version {id!r}; {known}.")


def _version(version: VersionView) -> dict[str, Any]:
    return {
        "id": version.id,
        "digest": version.digest,
        "state": version.state,
        "weight": version.weight,
        "share": version.share,
        "shadow": version.shadow,
        "pinned": version.pinned,
        "residency": version.residency,
        "kind": version.kind,
        "labels": version.labels,
        "adapter": version.adapter,
        "head": version.head,
        "reasons": notes(version.reasons),
        "last_error": version.last_error,
        "load_seconds": _rounded(version.load_s),
        "in_flight": version.in_flight,
        "retry_seconds": _rounded(version.retry_s),
        "rolled_back": version.rolled_back,
    }


def _traffic(traffic: TrafficView) -> dict[str, Any]:
    return {
        "requests": traffic.requests,
        "errors": traffic.errors,
        "error_rate": _rate(traffic.errors, traffic.requests),
        "latency_ms": {"p50": _milliseconds(traffic.p50_s), "p95": _milliseconds(traffic.p95_s)},
        "compared": traffic.compared,
        "disagreed": traffic.disagreed,
        "disagreement": _rate(traffic.disagreed, traffic.compared),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "what": event.what,
        "version": event.version,
        "reason": event.reason,
    }


class Standing(NamedTuple):
    """Whether requests end in an answer, be it after waiting; if not, why."""

    is_able: bool
    state: str
    reason: str | None
    retry_s: float | None = None


def standing(view: TaskView, id: str | None) -> Standing:
    """How a task, or one version of it, stands.

    Raises:
        VersionRetired, UnknownVersion: it has no such version (any more).
    """
    if id is None:
        return Standing(view.state in _ABLE, view.state, view.reason)
    version = find_version(view, id)
    able = version.state in _ABLE
    return Standing(able, version.state, reason_of(version), version.retry_s)


def reason_of(version: VersionView) -> str | None:
    """Why a version does not answer, in words."""
    return " ".join(note.message for note in version.reasons) or version.last_error


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
