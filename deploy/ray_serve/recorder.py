"""The same metrics twice: for `/metrics` of a replica, and for Ray's own exporter."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from ray.serve import metrics as ray_metrics

from serving.metrics import METRICS, Labels, Metric, PrometheusRecorder
from serving.task_labels import TaskLabels


class RayRecorder(PrometheusRecorder):
    """Takes every measurement as PrometheusRecorder does, and tells Ray of it too.

    Ray puts `ray_` before the names and adds the deployment and the replica. It keeps every series
    for as long as the process lives: a gauge that has no value any more is 0 there, and labels
    once given are never given anew, so that tasks that come and go do not fill the metrics.

    Args:
        max_task_labels: tasks that are told apart; all others share one label.
    """

    def __init__(self, max_task_labels: int = 200) -> None:
        super().__init__(max_task_labels)
        self._ray_labels = TaskLabels(max_task_labels)
        self._ray_families = {metric.name: _declare(metric) for metric in METRICS}
        self._ray_gauges: dict[str, set[Labels]] = {}
        self._ray_lock = threading.Lock()

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Count up."""
        super().add(name, *labels, value=value)
        if value > 0:  # Ray refuses to count by nothing
            self._ray_families[name].inc(value, self._tags(name, labels))

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to a histogram."""
        super().observe(name, value, *labels)
        self._ray_families[name].observe(value, self._tags(name, labels))

    def put(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        super().put(name, value, *labels)
        self._ray_families[name].set(value, self._tags(name, labels))

    def put_all(self, name: str, values: Mapping[Labels, float]) -> None:
        """Set all of a gauge; values whose labels have become one are added up."""
        super().put_all(name, values)
        with self._ray_lock:
            known = self._ray_gauges.setdefault(name, set())
            totals = dict.fromkeys(known, 0.0)
            for labels, value in values.items():
                bounded = self._ray_bounded(name, labels)
                totals[bounded] = totals.get(bounded, 0.0) + value
            known.update(totals)
            for labels, value in totals.items():
                self._ray_families[name].set(value, self._named(name, labels))

    def _tags(self, name: str, labels: Labels) -> dict[str, str]:
        return self._named(name, self._ray_bounded(name, labels))

    def _named(self, name: str, labels: Labels) -> dict[str, str]:
        return dict(zip(self._metrics[name].labels, labels, strict=True))

    def _ray_bounded(self, name: str, labels: Labels) -> Labels:
        """As `bounded`, with labels that are never given to others."""
        return self._ray_labels.bounded(self._metrics[name].labels, labels)


def _declare(metric: Metric) -> Any:
    name, text = metric.name, metric.text
    labels: Any = metric.labels  # typed by Ray as one string
    if metric.kind == "counter":
        return ray_metrics.Counter(name, text, labels)
    if metric.kind == "gauge":
        return ray_metrics.Gauge(name, text, labels)
    return ray_metrics.Histogram(name, text, list(metric.buckets), labels)
