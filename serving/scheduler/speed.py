"""How long a forward of some tokens will take, learnt from the ones before."""

from __future__ import annotations

_MEMORY = 0.97
_FIRST_TOKENS = 512
_GROWTH = 2
_LEAST_SLOPE = 0.1
_ALIKE = 0.01


class Speed:
    """A fixed cost plus a cost per token, fitted to recent batches that fade exponentially.

    The two must be told apart: a batch that is small because the last ones looked slow per token
    looks slow per token itself, and throughput would stay low for good. So when recent batches
    were all alike, the next one may be twice as large, to learn from it.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._x = self._y = self._xx = self._xy = 0.0
        self._largest = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from one forward."""
        if tokens <= 0 or seconds <= 0:
            return
        self._weight = _MEMORY * self._weight + 1
        self._x = _MEMORY * self._x + tokens
        self._y = _MEMORY * self._y + seconds
        self._xx = _MEMORY * self._xx + tokens * tokens
        self._xy = _MEMORY * self._xy + tokens * seconds
        self._largest = max(0.95 * self._largest, tokens)

    def predict_s(self, tokens: int) -> float:
        """Seconds for a forward of so many tokens; 0 before the first one ran."""
        fixed_s, token_s = self._fit()
        return fixed_s + token_s * tokens

    def budget_tokens(self, max_s: float, most: int) -> int:
        """Tokens that fit into a time, at least 1; grows at most twofold beyond what was seen."""
        if not self._weight:
            return min(_FIRST_TOKENS, most)
        fixed_s, token_s = self._fit()
        # Where the fixed cost alone eats the time, smaller batches would only waste more of it.
        fitting = max(max_s - fixed_s, 2 * fixed_s) / token_s
        if self._are_alike():
            fitting *= 2
        known = max(_FIRST_TOKENS, _GROWTH * self._largest)
        return max(1, int(min(fitting, known, most)))

    def _fit(self) -> tuple[float, float]:
        """Fixed seconds and seconds per token."""
        if not self._weight:
            return 0.0, 0.0
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        ratio = mean_y / mean_x
        if self._are_alike():
            return 0.0, ratio
        covariance = self._xy / self._weight - mean_x * mean_y
        token_s = min(max(covariance / self._variance(), _LEAST_SLOPE * ratio), ratio)
        return mean_y - token_s * mean_x, token_s

    def _variance(self) -> float:
        mean_x = self._x / self._weight
        return self._xx / self._weight - mean_x * mean_x

    def _are_alike(self) -> bool:
        """Whether recent batches differ too little to tell fixed and token cost apart."""
        mean_x = self._x / self._weight
        return self._variance() < _ALIKE * mean_x * mean_x
