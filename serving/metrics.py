"""Every metric, declared once as data; recorders are injected."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPEN_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as generate_open

from serving.logs import trace_id_var
from serving.task_labels import TaskLabels, is_stale


class Metric(NamedTuple):
    """One metric: a Prometheus name, what it says, and its labels; `task` first, then `version`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _geometric(first: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(round(first * factor**step, 9) for step in range(count))


_TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OPEN = "application/openmetrics-text"
_SECONDS = _geometric(0.0005, 2, 16)
_SIZES = _geometric(1, 2, 15)

METRICS = (
    Metric("polyhead_requests_total", "counter", "Requests answered.", ("task", "status")),
    Metric("polyhead_errors_total", "counter", "Requests refused or failed.", ("task", "code")),
    Metric(
        "polyhead_request_seconds", "histogram", "Whole time of a request.", ("task",), _SECONDS
    ),
    Metric(
        "polyhead_key_requests_total",
        "counter",
        "Calls by key: ok or refused.",
        ("task", "key", "result"),
    ),
    Metric("polyhead_key_tokens_total", "counter", "Tokens answered, by key.", ("task", "key")),
    Metric("polyhead_keys", "gauge", "Keys in force."),
    Metric("polyhead_keys_broken", "gauge", "1 while older keys than the broken file's hold."),
    Metric("polyhead_queue_seconds", "histogram", "Time rows waited for the device.", (), _SECONDS),
    Metric("polyhead_encode_seconds", "histogram", "Time to turn inputs into rows.", (), _SECONDS),
    Metric("polyhead_load_seconds", "histogram", "Time to load a version.", ("source",), _SECONDS),
    Metric("polyhead_loads_total", "counter", "Loads by source.", ("source", "result")),
    Metric("polyhead_compute_seconds", "histogram", "Time of one forward.", (), _SECONDS),
    Metric("polyhead_batch_tokens", "histogram", "Tokens in one forward.", (), _SIZES),
    Metric("polyhead_batch_rows", "histogram", "Rows in one forward.", (), _SIZES),
    Metric("polyhead_batch_tasks", "histogram", "Distinct tasks in one forward.", (), _SIZES),
    Metric("polyhead_padding_avoided_tokens_total", "counter", "Padding tokens never computed."),
    Metric("polyhead_resident_adapters", "gauge", "Adapters; on the host heads too.", ("tier",)),
    Metric("polyhead_resident_bytes", "gauge", "Bytes of adapters and heads by tier.", ("tier",)),
    Metric("polyhead_resident_versions", "gauge", "Versions in memory by tier.", ("task", "tier")),
    Metric("polyhead_evictions_total", "counter", "Adapters that lost their place.", ("tier",)),
    Metric("polyhead_admissions_total", "counter", "Versions checked, by verdict.", ("result",)),
    Metric("polyhead_quarantines_total", "counter", "Versions found failing.", ("task",)),
    Metric("polyhead_rollbacks_total", "counter", "Rollbacks by themselves.", ("task",)),
    Metric(
        "polyhead_version_requests_total",
        "counter",
        "Requests, and copies of some, by the version that ran them.",
        ("task", "version", "result"),
    ),
    Metric(
        "polyhead_compared_total",
        "counter",
        "Answers held against another version's.",
        ("task", "version"),
    ),
    Metric(
        "polyhead_disagreed_total",
        "counter",
        "Compared answers that differed.",
        ("task", "version"),
    ),
    Metric("polyhead_shadow_dropped_total", "counter", "Copies never run: no time.", ("task",)),
    Metric("polyhead_catalog_reloads_total", "counter", "Reads of changed tasks.", ("result",)),
    Metric("polyhead_tokens_total", "counter", "Tokens of answered requests.", ("task",)),
    Metric("polyhead_dropped_rows_total", "counter", "Rows never computed, by why.", ("reason",)),
    Metric("polyhead_event_loop_lag_seconds", "histogram", "Lateness of a timer.", (), _SECONDS),
    Metric("polyhead_connections", "gauge", "Connections that are open."),
    Metric(
        "polyhead_dropped_connections_total",
        "counter",
        "Connections ended by the server, by why.",
        ("reason",),
    ),
    Metric("polyhead_worker_backlog", "gauge", "Chores that wait for an encode thread."),
    Metric("polyhead_free_slots", "gauge", "Adapter slots that are free on the device."),
    Metric("polyhead_queue_rows", "gauge", "Rows that wait for the device."),
    Metric("polyhead_queue_tokens", "gauge", "Tokens that wait for the device."),
    Metric("polyhead_requests_inside", "gauge", "Requests admitted and not yet answered."),
    Metric("polyhead_tasks", "gauge", "Tasks by state.", ("state",)),
    Metric("polyhead_retries_total", "counter", "Tries again after a replica was lost."),
    Metric("polyhead_ready", "gauge", "1 while new requests are taken, else 0."),
    Metric("polyhead_device_failures_total", "counter", "Health checks that the device failed."),
    Metric("polyhead_start_time_seconds", "gauge", "When the server started, in Unix time."),
    Metric("polyhead_info", "gauge", "1, for the release that runs.", ("release",)),
)


Labels = tuple[str, ...]


class Recorder(Protocol):
    """Takes measurements by metric name; label values in the declared order."""

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Count up."""
        ...

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to a histogram."""
        ...

    def put(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        ...

    def put_all(self, name: str, values: Mapping[Labels, float]) -> None:
        """Set all of a gauge: what is not among the values has no value any more."""
        ...

    def keep(self, present: Mapping[str, Collection[str]]) -> None:
        """Drop what was measured for tasks, and versions by id, that are not present."""
        ...


class ShownRecorder(Recorder, Protocol):
    """A recorder that can also show what it has taken."""

    def exposition(self, names: Collection[str] = ()) -> bytes:
        """Metrics in Prometheus' text format: those of the names, without names all."""
        ...

    def shown(self, accept: str, names: Collection[str] = ()) -> tuple[bytes, str]:
        """Metrics in the best format that a client accepts, and the type of that content.

        Args:
            accept: the client's header.
            names: as for `exposition`.
        """
        ...


class PrometheusRecorder:
    """Keeps the metrics in a registry of its own, so that two servers in a process do not mix.

    Args:
        max_task_labels: tasks that are told apart; all others share one label.
    """

    def __init__(self, max_task_labels: int = 200) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._task_labels = TaskLabels(max_task_labels)
        self._metrics = {metric.name: metric for metric in METRICS}
        self._families = {metric.name: self._declare(metric) for metric in METRICS}
        self._lock = threading.Lock()
        self._series: dict[str, dict[Labels, Any]] = {metric.name: {} for metric in METRICS}

    def _declare(self, metric: Metric) -> Counter | Gauge | Histogram:
        name, text, labels, registry = metric.name, metric.text, metric.labels, self._registry
        if metric.kind == "counter":
            return Counter(name, text, labels, registry=registry)
        if metric.kind == "gauge":
            return Gauge(name, text, labels, registry=registry)
        return Histogram(name, text, labels, registry=registry, buckets=metric.buckets)

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Count up."""
        self._one(name, self.bounded(name, labels)).inc(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to a histogram; its trace is an example of it."""
        trace_id = trace_id_var.get()
        example = {"trace_id": trace_id} if trace_id else None
        self._one(name, self.bounded(name, labels)).observe(value, example)

    def put(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._one(name, self.bounded(name, labels)).set(value)

    def put_all(self, name: str, values: Mapping[Labels, float]) -> None:
        """Set all of a gauge; values whose labels have become one are added up."""
        totals: dict[Labels, float] = {}
        for labels, value in values.items():
            bounded = self.bounded(name, labels)
            totals[bounded] = totals.get(bounded, 0.0) + value
        for labels, value in totals.items():
            self._one(name, labels).set(value)
        with self._lock:
            self._drop(name, [labels for labels in self._series[name] if labels not in totals])

    def keep(self, present: Mapping[str, Collection[str]]) -> None:
        """Drop what was measured for tasks, and versions by id, that are not present."""
        with self._lock:
            self._task_labels.keep(present)
            for name, metric in self._metrics.items():
                if metric.labels[:1] == ("task",):
                    series = self._series[name]
                    stale = [each for each in series if is_stale(metric.labels, each, present)]
                    self._drop(name, stale)

    def bounded(self, name: str, labels: Labels) -> Labels:
        """The labels that a measurement goes under."""
        return self._task_labels.bounded(self._metrics[name].labels, labels)

    def _one(self, name: str, labels: Labels) -> Any:
        """The series of these labels; made when it is first needed."""
        series = self._series[name].get(labels)
        if series is None:
            with self._lock:
                family = self._families[name]
                series = self._series[name][labels] = family.labels(*labels) if labels else family
        return series

    def _drop(self, name: str, stale: Collection[Labels]) -> None:
        for labels in stale:
            del self._series[name][labels]
            self._families[name].remove(*labels)

    def exposition(self, names: Collection[str] = ()) -> bytes:
        """Metrics in Prometheus' text format: those of the names, without names all."""
        return generate_latest(self._chosen(names))

    def shown(self, accept: str, names: Collection[str] = ()) -> tuple[bytes, str]:
        """Metrics as OpenMetrics, with traces' ids, for who accepts it; else as text."""
        if _OPEN in accept:
            content: bytes = generate_open(self._chosen(names))  # type: ignore[no-untyped-call]
            return content, OPEN_TYPE
        return self.exposition(names), _TEXT_TYPE

    def _chosen(self, names: Collection[str]) -> Any:
        return self._registry.restricted_registry(names) if names else self._registry
