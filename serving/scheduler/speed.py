"""How long a forward of some tokens will take, learnt from the ones before."""

from __future__ import annotations

_MEMORY = 0.9
_FIRST_TOKENS = 512
_GROWTH = 2


class Speed:
    """A fixed cost plus a cost per token, fitted to recent batches that fade exponentially.

    The fixed cost matters: without it a few tiny batches would look slow per token, the budget
    would shrink, and the batches would stay tiny.
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
        fitting = max(max_s - fixed_s, fixed_s) / token_s
        known = max(_FIRST_TOKENS, _GROWTH * self._largest)
        return max(1, int(min(fitting, known, most)))

    def _fit(self) -> tuple[float, float]:
        """Fixed seconds and seconds per token."""
        if not self._weight:
            return 0.0, 0.0
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        variance = self._xx / self._weight - mean_x * mean_x
        covariance = self._xy / self._weight - mean_x * mean_y
        ratio = mean_y / mean_x
        if variance < 0.01 * mean_x * mean_x or covariance <= 0:
            return 0.0, ratio  # all batches were alike: nothing to tell the two costs apart
        token_s = min(covariance / variance, ratio)
        return mean_y - token_s * mean_x, token_s
