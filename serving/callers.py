"""Who sent the request that is being served: known to the service, whatever the protocol."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds a key.

    Args:
        name: of the key; empty where nobody needs one.
        priority: of this request: 1 before 0 before -1.
        weight: the share where callers wait for each other.
    """

    name: str = ""
    priority: int = 0
    weight: float = 1.0


ANYBODY = Caller()
caller_var: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
