"""The right to be admitted: bounded requests and rows inside, shared fairly, in time."""

from __future__ import annotations

import math
import threading

from adapter_runtime import TooLong
from serving.admission.flows import Flow, Flows, Inside
from serving.admission.foresight import Foresight
from serving.errors import Overloaded

_LEAST_RETRY_S = 1
ANYBODY = Flow()


class Permits:
    """Counts requests and rows inside; full means 429, not growth. Thread-safe.

    Args:
        max_requests: requests inside at once.
        max_rows: rows inside at once.
        foresight: knows how long a request would wait.
        max_queue_s: longest expected wait, in seconds; 0: as long as the deadline allows.
    """

    def __init__(
        self, max_requests: int, max_rows: int, foresight: Foresight, max_queue_s: float = 0.0
    ) -> None:
        self.max_requests = max_requests
        self.max_rows = max_rows
        self._foresight = foresight
        self._max_queue_s = max_queue_s or math.inf
        self._lock = threading.Lock()
        self._flows = Flows()

    @property
    def num_requests(self) -> int:
        """Requests inside now."""
        return self._flows.all.requests

    def take(self, num_rows: int, flow: Flow = ANYBODY, within_s: float = math.inf) -> Permit:
        """Admit a request of at least this many rows.

        Args:
            num_rows: its items.
            flow: who asks for what.
            within_s: seconds until its deadline.

        Raises:
            Overloaded: the limits are reached, or it would wait too long.
            TooLong: the request alone is over the limit.
        """
        with self._lock:
            tokens = num_rows * self._foresight.row_tokens
            self._check_room(flow, Inside(1, num_rows, tokens), num_rows)
            wait_s = self._wait_s(flow, tokens)
            if self._flows.inside(flow).requests and wait_s > min(within_s, self._max_queue_s):
                raise self._overloaded(
                    f"this would wait for about {wait_s:.1f} s", flow, tokens, wait_s
                )
            permit = Permit(self, flow, num_rows, tokens)
            self._flows.add(flow, 1, num_rows, tokens)
            permit.expected = self._foresight.expect(wait_s)
        return permit

    def grow(self, permit: Permit, num_rows: int) -> None:
        """Raise an admitted request to this many rows; nothing happens when it has them already.

        Raises:
            Overloaded, TooLong: as `take`.
        """
        if num_rows <= permit.num_rows:
            return
        with self._lock:
            if permit.is_released:
                return
            more = num_rows - permit.num_rows
            self._check_room(permit.flow, Inside(0, more), num_rows)
            self._flows.add(permit.flow, 0, more, 0.0)
            permit.num_rows = num_rows

    def weigh(self, permit: Permit, num_tokens: int) -> None:
        """Its rows are encoded: so many tokens are to run."""
        with self._lock:
            self._foresight.encoded(permit.num_rows, num_tokens)
            self._set_tokens(permit, num_tokens)

    def ran(self, permit: Permit, num_tokens: int) -> None:
        """So many tokens of it need to run no more."""
        with self._lock:
            self._set_tokens(permit, max(0.0, permit.tokens - num_tokens))

    def _set_tokens(self, permit: Permit, tokens: float) -> None:
        if not permit.is_released:
            self._flows.add(permit.flow, 0, 0, tokens - permit.tokens)
            permit.tokens = tokens

    def release(self, permit: Permit, is_answered: bool = False) -> None:
        """Give a permit back; a second time changes nothing.

        Args:
            permit: which one.
            is_answered: whether it was held for as long as the request waited and ran.
        """
        with self._lock:
            if permit.is_released:
                return
            permit.is_released = True
            self._flows.add(permit.flow, -1, -permit.num_rows, -permit.tokens)
            if is_answered:
                self._foresight.learn(permit.expected)

    def check_integrity(self) -> None:
        """Assert that the counts are possible."""
        inside = self._flows.all
        assert 0 <= inside.requests <= self.max_requests, "Requests are miscounted. This is a bug."
        assert 0 <= inside.rows <= self.max_rows, "Rows are miscounted. This is a bug."
        self._flows.check_integrity()

    def _check_room(self, flow: Flow, more: Inside, num_in_request: int) -> None:
        if num_in_request > self.max_rows:
            raise TooLong(
                f"makes {num_in_request} rows; at most {self.max_rows} fit; send fewer or shorter."
            )
        reason = self._lacking(flow, more)
        if reason:
            wait_s = self._wait_s(flow, more.tokens)
            raise self._overloaded(reason, flow, more.tokens, wait_s)

    def _lacking(self, flow: Flow, more: Inside) -> str:
        """Why there is no room; empty where there is."""
        inside, own = self._flows.all, self._flows.inside(flow)
        free = Inside(self.max_requests - inside.requests, self.max_rows - inside.rows)
        if more.requests > free.requests:
            return f"{inside.requests} requests are already inside"
        if more.rows > free.rows:
            return f"{inside.rows} rows are already inside"
        is_alone = own.requests + more.requests == 1
        if is_alone or self._flows.may_hold(flow, more, free):
            return ""
        held = f"{own.requests} requests with {own.rows} rows of this task"
        return f"{held} are already inside, which is its share"

    def _wait_s(self, flow: Flow, tokens: float) -> float:
        return self._foresight.wait_s(self._flows.tokens_ahead(flow, tokens))

    def _overloaded(self, reason: str, flow: Flow, tokens: float, wait_s: float) -> Overloaded:
        promised_s = self._foresight.promise_s(self._flows.inside(flow), tokens, wait_s)
        retry_s = max(_LEAST_RETRY_S, math.ceil(promised_s))
        return Overloaded(f"The server is full: {reason}; try again in {retry_s} s.", retry_s)


class Permit:
    """One admitted request; a context manager that gives itself back."""

    __slots__ = ("_permits", "expected", "flow", "is_released", "num_rows", "tokens")

    def __init__(self, permits: Permits, flow: Flow, num_rows: int, tokens: float) -> None:
        self._permits = permits
        self.flow = flow
        self.num_rows = num_rows
        self.tokens = tokens
        self.expected = (0.0, 0.0)
        self.is_released = False

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._permits.release(self, is_answered=kind is None)
