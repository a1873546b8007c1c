"""How long a request would wait, corrected by how long others did."""

from __future__ import annotations

from collections.abc import Callable

_MEMORY = 0.95
_LEAST_LESSON_S = 0.1
_MOST_OFF = 4.0


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
