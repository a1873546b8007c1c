from __future__ import annotations

import asyncio

import pytest

from adapter_runtime import (
    CapacityError,
    InvalidInput,
    Note,
    RejectedAdapter,
    RowFailed,
    SourceError,
    TooLong,
    VersionFailed,
)
from serving.catalog.plans import RollbackRule
from serving.errors import ClientGone, DeadlineExceeded, Draining, Overloaded, Quarantined
from serving.lifecycle.judging.rollback import is_fault, reason_to_roll_back
from serving.lifecycle.live.windows import Traffic

RULE = RollbackRule(error_rate=0.05, disagreement=0.2, min_requests=100)


def traffic(
    errors: int = 0, answers: int = 0, differences: int = 0, agreements: int = 0
) -> Traffic:
    """What a version did under the rule, the good before the bad."""
    found = Traffic(RULE)
    for _ in range(answers):
        found.answered(0.01)
    for _ in range(errors):
        found.failed()
    for agreed in [True] * agreements + [False] * differences:
        found.compared(agreed)
    return found


def test_too_many_errors_are_a_reason_with_figures() -> None:
    """The log and the task's events say how bad it was and what was allowed."""
    reason = reason_to_roll_back(RULE, traffic(errors=12, answers=88))
    assert "error rate 0.12 over the last 100 requests is above 0.05" == reason


def test_too_many_differences_are_a_reason_with_figures() -> None:
    """A version that fails nobody may still say other things than the one before."""
    reason = reason_to_roll_back(RULE, traffic(answers=100, differences=21, agreements=79))
    assert "disagreement 0.21 over the last 100 comparisons is above 0.2" == reason


@pytest.mark.parametrize(
    "calm",
    (
        traffic(),
        traffic(errors=99),
        traffic(differences=99),
        traffic(errors=5, answers=95),
        traffic(errors=5, answers=95, differences=20, agreements=80),
    ),
    ids=("nothing", "too few requests", "too few comparisons", "at the limit", "both at it"),
)
def test_what_is_allowed_or_too_early_to_tell_is_no_reason(calm: Traffic) -> None:
    """Nothing is judged before `min_requests`, and the limit itself is allowed."""
    assert None is reason_to_roll_back(RULE, calm)


def test_only_the_last_requests_count() -> None:
    """A bad start is forgotten after `min_requests` good answers."""
    healed = traffic(errors=100)
    for _ in range(95):
        healed.answered(0.01)
    assert None is reason_to_roll_back(RULE, healed)


def test_a_rule_looks_only_at_what_it_states() -> None:
    """Without a limit for errors, or without a rule, failing is no reason."""
    failing = Traffic(RollbackRule(disagreement=0.2, min_requests=2))
    for _ in range(10):
        failing.failed()
    assert None is reason_to_roll_back(RollbackRule(disagreement=0.2, min_requests=2), failing)
    assert None is reason_to_roll_back(None, traffic(errors=100))


def test_a_limit_of_zero_allows_no_error() -> None:
    """The strictest rule trips on one failure in the window."""
    rule = RollbackRule(error_rate=0.0, min_requests=2)
    found = Traffic(rule)
    found.answered(0.01)
    assert None is reason_to_roll_back(rule, found)
    found.failed()
    assert "error rate 0.5 over the last 2 requests is above 0" == reason_to_roll_back(rule, found)


@pytest.mark.parametrize(
    "error",
    (
        VersionFailed("The weights gave NaN."),
        RejectedAdapter("topic", [Note("x", "y")]),
        SourceError("The folder is gone."),
        ZeroDivisionError(),
    ),
    ids=lambda error: type(error).__name__,
)
def test_a_version_is_to_blame_for_its_weights_and_for_bugs(error: Exception) -> None:
    """What clients see as the task's failure."""
    assert is_fault(error)


@pytest.mark.parametrize(
    "error",
    (
        InvalidInput("is empty."),
        TooLong("has too many tokens."),
        DeadlineExceeded("too late."),
        Overloaded("full.", 1.0),
        Quarantined("failed before.", 1.0),
        Draining("stopping.", 1.0),
        ClientGone("gone."),
        CapacityError("no slot."),
        RowFailed("The server stopped."),
        asyncio.CancelledError(),
    ),
    ids=lambda error: type(error).__name__,
)
def test_a_version_is_not_to_blame_for_clients_and_load(error: BaseException) -> None:
    """A flood of bad input must not roll a good version back."""
    assert not is_fault(error)
