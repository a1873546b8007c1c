"""Quotas per minute and requests at once, by key. Belongs to the event loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from adapter_runtime import InvalidInput
from serving.admission.estimates import fewest_tokens, rough_tokens
from serving.admission.keys import Key
from serving.errors import QuotaExceeded
from serving.service import Call

_MINUTE_S = 60.0
_MOST_OFF = 2
"""There are at most so many times more words than tokens were estimated."""
_BUSY_S = 1.0


class Bucket:
    """Fills evenly, holds one minute's worth, and may owe: true costs are known afterwards.

    Args:
        per_minute: what comes in within a minute, above 0.
        clock: seconds that never go back.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        # A quota below one a minute still admits one, later.
        self.most = max(1.0, per_minute)
        self._clock = clock
        self._level, self._at_s = self.most, clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until so much can be taken; 0 at once. No more than `most` is waited for."""
        now_s = self._clock()
        come = (now_s - self._at_s) * self.per_minute / _MINUTE_S
        self._level, self._at_s = min(self.most, self._level + come), now_s
        return max(0.0, (min(amount, self.most) - self._level) * _MINUTE_S / self.per_minute)

    def take(self, amount: float) -> None:
        """Take so much, or give it back when negative."""
        self._level = min(self.most, self._level - amount)

    def refilled(self, per_minute: float) -> Bucket:
        """One of another rate, from which as much is gone."""
        self.wait_s(0.0)
        new = Bucket(per_minute, self._clock)
        new.take(self.most - self._level)
        return new


@dataclass(slots=True)
class _Account:
    """What one key has left."""

    requests: Bucket | None = None
    tokens: Bucket | None = None
    inside: dict[int, int] = field(default_factory=dict)


class Allowances:
    """What every key has left; keeps what it has spent when the file is read again.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def enter(self, key: Key, visit: int, call: Call) -> float:
        """Begin a Call; returns the tokens that it set aside for `leave`.

        Args:
            key: whose.
            visit: stands for the request that it is part of; all of one count as one inside.
            call: what is asked.

        Raises:
            QuotaExceeded: not now; says when.
            InvalidInput: it never could be: it alone is larger than a minute's quota.
        """
        account = self._account(key)
        _refuse_crowd(key, account.inside, visit)
        _admit(key, "requests", account.requests, 1.0)
        tokens = 0.0
        if account.tokens is not None:
            tokens = rough_tokens(call.items, call.parameters)
            _refuse_too_long(key, account.tokens.most, tokens, call)
            _admit(key, "tokens", account.tokens, tokens)
            account.tokens.take(tokens)
        if account.requests is not None:
            account.requests.take(1.0)
        account.inside[visit] = account.inside.get(visit, 0) + 1
        return tokens

    def leave(self, key: Key, visit: int, reserved: float, spent: float) -> None:
        """End a Call: what was set aside comes back, what it spent goes."""
        account = self._accounts[key.name]  # as it is: the key may have changed meanwhile
        account.inside[visit] -= 1
        if not account.inside[visit]:
            del account.inside[visit]
        if account.tokens is not None:
            account.tokens.take(spent - reserved)

    def _account(self, key: Key) -> _Account:
        account = self._accounts.setdefault(key.name, _Account())
        account.requests = self._bucket(account.requests, key.quota.requests_per_minute)
        account.tokens = self._bucket(account.tokens, key.quota.tokens_per_minute)
        return account

    def _bucket(self, known: Bucket | None, per_minute: float | None) -> Bucket | None:
        if per_minute is None or known is None:
            return None if per_minute is None else Bucket(per_minute, self._clock)
        return known if known.per_minute == per_minute else known.refilled(per_minute)


def _refuse_crowd(key: Key, inside: Mapping[int, int], visit: int) -> None:
    if key.concurrency is None or visit in inside or len(inside) < key.concurrency:
        return
    raise QuotaExceeded(
        f"Key {key.name} has {len(inside)} requests inside, as many as it may; wait for their "
        "answers.",
        _BUSY_S,
    )


def _admit(key: Key, what: str, bucket: Bucket | None, amount: float) -> None:
    wait_s = 0.0 if bucket is None else bucket.wait_s(amount)
    if wait_s > 0 and bucket is not None:
        raise QuotaExceeded(
            f"Key {key.name} has used its quota of {bucket.per_minute:g} {what} per minute; try "
            f"again in {math.ceil(wait_s)} s, or ask for a larger quota.",
            wait_s,
        )


def _refuse_too_long(key: Key, most: float, tokens: float, call: Call) -> None:
    """Words are counted only where there can be too many."""
    if tokens * _MOST_OFF <= most:
        return
    fewest = fewest_tokens(call.items, call.parameters)
    if fewest > most:
        raise InvalidInput(
            f"has at least {fewest} tokens, and key {key.name} may have {most:g} in a minute; send "
            "less at once, or ask for a larger quota.",
            "inputs",
        )
