"""A replica's recorder behind an ingress: what clients see is counted where they are answered."""

from __future__ import annotations

from deploy.ray_serve.recorder import RayRecorder

SEEN_BY_CLIENTS = frozenset(
    {"polyhead_requests_total", "polyhead_errors_total", "polyhead_request_seconds"}
)
"""The ingress records these: with what it refuses itself, repeated tries and its own time. Counted
here too, every request would stand twice in Ray's exporter."""


class EngineRecorder(RayRecorder):
    """As RayRecorder, without what the ingress records."""

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Count up."""
        if name not in SEEN_BY_CLIENTS:
            super().add(name, *labels, value=value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to a histogram."""
        if name not in SEEN_BY_CLIENTS:
            super().observe(name, value, *labels)
