"""What a version's answers looked like lately: outcomes, latencies, comparisons."""

from __future__ import annotations

import math
import threading
from collections import deque

from serving.catalog.plans import RollbackRule
from serving.views import TrafficView

_NUM_LATENCIES = 512


class Window:
    """A ring of the last outcomes, each bad or not; not thread-safe.

    Args:
        size: how many outcomes it remembers, at least 1.
    """

    __slots__ = ("_next", "_num_bad", "_outcomes", "size")

    def __init__(self, size: int) -> None:
        self.size = max(1, size)
        self._outcomes = bytearray()
        self._next = self._num_bad = 0

    def add(self, is_bad: bool) -> None:
        """Take one outcome in; the oldest one goes when there are more than `size`."""
        self._num_bad += is_bad
        if len(self._outcomes) < self.size:
            self._outcomes.append(is_bad)
            return
        self._num_bad -= self._outcomes[self._next]
        self._outcomes[self._next] = is_bad
        self._next = (self._next + 1) % self.size

    def rate(self) -> float:
        """Share of the bad ones, 0 to 1; 0 when nothing is inside."""
        return self._num_bad / len(self._outcomes) if self._outcomes else 0.0

    @property
    def is_full(self) -> bool:
        """Whether `size` outcomes are inside, so that the rate means something."""
        return len(self._outcomes) == self.size


class Latencies:
    """The last few hundred durations, in seconds; not thread-safe."""

    __slots__ = ("_seconds",)

    def __init__(self, size: int = _NUM_LATENCIES) -> None:
        self._seconds: deque[float] = deque(maxlen=size)

    def add(self, seconds: float) -> None:
        """Take one duration in."""
        self._seconds.append(seconds)

    def quantiles(self, *shares: float) -> list[float | None]:
        """For each share above 0 the least duration that this part of all keeps within.

        None before the first duration.
        """
        ordered = sorted(self._seconds)
        if not ordered:
            return [None] * len(shares)
        return [ordered[math.ceil(share * len(ordered)) - 1] for share in shares]


class Traffic:
    """What one version answered; thread-safe by a lock of its own.

    Requests count when they were answered, or failed by the version's fault
    (`rollback.is_fault`): what clients do wrong would only hide a bad version.

    Args:
        rule: how many outcomes are judged; None: none are.
    """

    def __init__(self, rule: RollbackRule | None = None) -> None:
        self._lock = threading.Lock()
        self._rule = rule
        self._failures, self._differences = _windows(rule)
        self._latencies = Latencies()
        self._num_requests = self._num_errors = self._num_compared = self._num_disagreed = 0

    def answered(self, took_s: float) -> None:
        """A request was answered in `took_s` seconds."""
        with self._lock:
            self._num_requests += 1
            self._latencies.add(took_s)
            if self._failures:
                self._failures.add(False)

    def failed(self) -> None:
        """A request failed by the version's fault."""
        with self._lock:
            self._num_requests += 1
            self._num_errors += 1
            if self._failures:
                self._failures.add(True)

    def missed(self) -> None:
        """A request of its share was answered by another, because it is in quarantine."""
        with self._lock:
            if self._failures:
                self._failures.add(True)

    def compared(self, agreed: bool) -> None:
        """An answer was held against another version's to the same input."""
        with self._lock:
            self._num_compared += 1
            self._num_disagreed += not agreed
            if self._differences:
                self._differences.add(not agreed)

    def reset(self) -> None:
        """Its share of the traffic changes: judge it anew. What it answered in all stays."""
        with self._lock:
            self._failures, self._differences = _windows(self._rule)

    def follow(self, rule: RollbackRule | None) -> None:
        """Judge it by the task's rule as it is now, anew if the rule changed."""
        with self._lock:
            if rule != self._rule:
                self._rule = rule
                self._failures, self._differences = _windows(rule)

    def error_rate(self) -> float | None:
        """Of the last `min_requests` requests, 0 to 1; None before there are so many."""
        with self._lock:
            return _judged(self._failures)

    def disagreement(self) -> float | None:
        """Of the last `min_requests` comparisons, 0 to 1; None before there are so many."""
        with self._lock:
            return _judged(self._differences)

    @property
    def is_judged(self) -> bool:
        """Whether there is a rule."""
        return self._rule is not None

    @property
    def num_requests(self) -> int:
        """How many it answered, or failed by its own fault, since it came."""
        return self._num_requests

    def view(self) -> TrafficView:
        """What clients may know."""
        with self._lock:
            p50_s, p95_s = self._latencies.quantiles(0.5, 0.95)
            return TrafficView(
                requests=self._num_requests,
                errors=self._num_errors,
                p50_s=p50_s,
                p95_s=p95_s,
                compared=self._num_compared,
                disagreed=self._num_disagreed,
            )


def _windows(rule: RollbackRule | None) -> tuple[Window | None, Window | None]:
    """Of failures and of differences; none where the rule does not look at them."""
    if rule is None:
        return None, None
    size = rule.min_requests
    return (
        None if rule.error_rate is None else Window(size),
        None if rule.disagreement is None else Window(size),
    )


def _judged(window: Window | None) -> float | None:
    return window.rate() if window and window.is_full else None
