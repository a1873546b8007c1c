"""How long a request would wait, corrected by how long others did."""

from __future__ import annotations

from collections.abc import Callable

from serving.admission.flows import Inside

_MEMORY = 0.95
_LEAST_LESSON_S = 0.1
_MOST_OFF = 4.0
_SLACK = 1.25
_MOST_PROMISED_S = 30.0
"""Not all who are sent away come again: further ahead it is not worth to reckon with them."""


class Foresight:
    """Seconds from tokens, by what forwards take and by what earlier forecasts were worth.

    Args:
        drain_s: seconds that the device takes for so many tokens, in its full batches.
        clock: monotonic seconds.

    Attributes:
        row_tokens: what a row has on average; 0 before the first.
    """

    def __init__(self, drain_s: Callable[[float], float], clock: Callable[[], float]) -> None:
        self._drain_s = drain_s
        self._clock = clock
        self._factor = 1.0
        self.row_tokens = 0.0

    def wait_s(self, tokens: float) -> float:
        """Seconds until so many tokens have run."""
        return self._factor * self._drain_s(tokens)

    def promise_s(self, inside: Inside, more: float, wait_s: float) -> float:
        """Seconds until one that is sent away should come again.

        Each comes after those that were sent away before it: when all were told the same time,
        all but a few of them would be sent away again.

        Args:
            inside: of its flow; remembers the promise.
            more: tokens of its own.
            wait_s: until it would be served now.
        """
        now_s = self._clock()
        turn_s = _SLACK * wait_s * more / max(1.0, inside.tokens + more)
        next_s = max(now_s + wait_s, inside.promised_s + turn_s)
        inside.promised_s = min(next_s, now_s + max(wait_s, _MOST_PROMISED_S))
        return inside.promised_s - now_s

    def encoded(self, num_rows: int, num_tokens: int) -> None:
        """Learn how long rows are."""
        mean = num_tokens / max(1, num_rows)
        self.row_tokens = _mixed(self.row_tokens, mean) if self.row_tokens else mean

    def expect(self, wait_s: float) -> tuple[float, float]:
        """A forecast to learn from: when it was made, and for how long without the correction."""
        return self._clock(), wait_s / self._factor

    def learn(self, expected: tuple[float, float]) -> None:
        """A request that was expected to wait has its answer now; short waits teach nothing."""
        began_s, plain_s = expected
        if plain_s >= _LEAST_LESSON_S:
            ratio = (self._clock() - began_s) / plain_s
            self._factor = _mixed(self._factor, min(max(ratio, 1 / _MOST_OFF), _MOST_OFF))


def _mixed(old: float, new: float) -> float:
    return _MEMORY * old + (1 - _MEMORY) * new
