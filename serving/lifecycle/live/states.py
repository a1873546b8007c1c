"""The states of a version, and what they mean for a request."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a version stands on its way."""

    PENDING = "pending"
    LOADING = "loading"
    CHECKING = "checking"
    READY = "ready"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


HOPEFUL = frozenset({State.PENDING, State.LOADING, State.CHECKING})
"""A version in one of these may still become ready."""
