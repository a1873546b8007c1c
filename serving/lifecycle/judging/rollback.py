"""When a version is taken out of the traffic by itself, and which failures speak against it."""

from __future__ import annotations

from adapter_runtime import PolyheadError, RejectedAdapter, SourceError, VersionFailed
from serving.catalog.plans import RollbackRule
from serving.lifecycle.live.windows import Traffic

_FAULTS = (VersionFailed, RejectedAdapter, SourceError)


def is_fault(error: BaseException) -> bool:
    """Whether a version is to blame for an error.

    It is for weights that raise, give numbers that are not finite, or cannot be had any more, and
    for whatever else nobody raised on purpose. It is not for what clients send, for deadlines, or
    for a server that is full or stops.
    """
    if isinstance(error, PolyheadError):
        return isinstance(error, _FAULTS)
    return isinstance(error, Exception)


def reason_to_roll_back(rule: RollbackRule | None, traffic: Traffic) -> str | None:
    """Why a version should go, as a sentence with the figures; None while it may stay.

    Args:
        rule: the task's; None: nothing rolls back by itself.
        traffic: the version's, which follows the same rule.
    """
    if rule is None:
        return None
    over = f"over the last {rule.min_requests}"
    judged = (
        ("error rate", traffic.error_rate(), f"{over} requests", rule.error_rate),
        ("disagreement", traffic.disagreement(), f"{over} comparisons", rule.disagreement),
    )
    for name, found, where, most in judged:
        if found is not None and most is not None and found > most:
            return f"{name} {found:.4g} {where} is above {most:g}"
    return None
