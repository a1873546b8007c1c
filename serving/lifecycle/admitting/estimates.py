"""How long reading a version or loading it again will take, from what was measured."""

from __future__ import annotations

import threading

from adapter_runtime import TaskSpec
from serving.origins import source_kind

_FADE = 0.3
_UNKNOWN_S = 1.0


class Estimates:
    """A fading mean of seconds for each kind of Source. Thread-safe.

    Args:
        unknown_s: what is said before anything was measured.
    """

    def __init__(self, unknown_s: float = _UNKNOWN_S) -> None:
        self._unknown_s = unknown_s
        self._means: dict[str, float] = {}
        self._lock = threading.Lock()

    def observe(self, spec: TaskSpec, took_s: float) -> None:
        """One took so long."""
        kind = source_kind(spec)
        with self._lock:
            mean = self._means.get(kind, took_s)
            self._means[kind] = mean + _FADE * (took_s - mean)

    def expect_s(self, spec: TaskSpec) -> float:
        """How long the next one will take; of a kind never seen, as long as the slowest seen."""
        with self._lock:
            mean = self._means.get(source_kind(spec))
            return max(self._means.values(), default=self._unknown_s) if mean is None else mean
