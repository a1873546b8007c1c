"""The one table from errors to HTTP, settings, permits, deadlines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import serving.errors
from adapter_runtime import (
    Note,
    PolyheadError,
    RejectedAdapter,
    SettingsError,
    SourceError,
    TooLong,
)
from serving.admission.foresight import Foresight
from serving.admission.permits import Permits
from serving.errors import STATUS, Overloaded, RejectedForNow, refusal
from serving.settings import load_settings


def kinds(root: type[Exception]) -> Iterator[type[Exception]]:
    """A class and all below it."""
    yield root
    for child in root.__subclasses__():
        yield from kinds(child)


def test_every_error_class_has_its_row() -> None:
    """A new class without a row fails here."""
    ours = {
        kind
        for kind in kinds(PolyheadError)
        if kind.__module__ in ("adapter_runtime.errors", serving.errors.__name__)
    }
    assert ours == set(STATUS)
    # To clients a version that is tried again is rejected like any other, with Retry-After.
    distinct = ours - {PolyheadError, RejectedForNow}
    assert len({kind.code for kind in distinct}) == len(distinct)


def test_unexpected_error_says_nothing_of_the_inside() -> None:
    """Paths and tensors stay in the log."""
    found = refusal(RuntimeError("/secret/path"))
    assert (found.status, found.code) == (500, "internal_error")
    assert "secret" not in found.message


@pytest.mark.parametrize(
    ("name", "value"), (("PORT", "99999"), ("MAX_BATCH_S", "fast"), ("LOG_FORMAT", "x"))
)
def test_bad_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The message names the variable and its value."""
    monkeypatch.setenv(f"POLYHEAD_{name}", value)
    with pytest.raises(SettingsError, match=f"POLYHEAD_{name} is '{value}'"):
        load_settings()


def test_given_value_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None means not given."""
    monkeypatch.setenv("POLYHEAD_PORT", "9000")
    assert load_settings(port=None).port == 9000
    assert load_settings(port=1).port == 1


def permits(backlog_s: float = 0.0) -> Permits:
    """Two requests and ten rows."""
    return Permits(2, 10, Foresight(lambda tokens: backlog_s, lambda: 0.0))


def test_permits_are_given_back() -> None:
    """Twice does no harm."""
    counted = permits()
    with counted.take(10) as permit:
        assert counted.num_requests == 1
    counted.release(permit)
    counted.check_integrity()
    assert counted.num_requests == 0
    counted.take(10)


def test_full_permits_refuse_with_an_honest_estimate() -> None:
    """Requests or rows; what waits says for how long."""
    counted = permits(backlog_s=6.2)
    counted.take(4)
    with pytest.raises(Overloaded) as by_rows:
        counted.take(7)
    counted.take(1)
    with pytest.raises(Overloaded) as by_requests:
        counted.take(1)
    assert by_rows.value.retry_after_s == by_requests.value.retry_after_s == 7
    counted.check_integrity()


def test_request_that_grows_past_the_limit_is_refused() -> None:
    """Windows are counted when they are known."""
    counted = permits()
    permit = counted.take(1)
    counted.grow(permit, 10)
    with pytest.raises(TooLong):
        counted.grow(permit, 11)
    with pytest.raises(Overloaded):
        counted.take(1)
    counted.release(permit)
    counted.grow(permit, 5)
    counted.check_integrity()


def test_refused_version_gives_every_reason() -> None:
    """Also when it failed before its files were read; other errors have none."""
    problems = [Note("missing_tensor", "x is missing."), Note("not_finite", "y holds NaN.")]
    assert refusal(RejectedAdapter("a", problems)).reasons == tuple(problems)
    assert refusal(SourceError("a: gone.")).reasons == (Note("source_error", "a: gone."),)
    assert refusal(TooLong("is long.")).reasons == ()
