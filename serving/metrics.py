"""Every metric, declared once as data; recorders are injected."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metric(NamedTuple):
    """One metric: a Prometheus name, what it says, and its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _geometric(first: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(round(first * factor**step, 9) for step in range(count))


_SECONDS = _geometric(0.0005, 2, 16)
_SIZES = _geometric(1, 2, 15)

METRICS = (
    Metric("polyhead_requests_total", "counter", "Requests answered.", ("task", "status")),
    Metric("polyhead_errors_total", "counter", "Requests refused or failed.", ("task", "code")),
    Metric(
        "polyhead_request_seconds", "histogram", "Whole time of a request.", ("task",), _SECONDS
    ),
    Metric("polyhead_queue_seconds", "histogram", "Time rows waited for the device.", (), _SECONDS),
    Metric("polyhead_encode_seconds", "histogram", "Time to turn inputs into rows.", (), _SECONDS),
    Metric("polyhead_load_seconds", "histogram", "Time to load a cold version.", (), _SECONDS),
    Metric("polyhead_compute_seconds", "histogram", "Time of one forward.", (), _SECONDS),
    Metric("polyhead_batch_tokens", "histogram", "Tokens in one forward.", (), _SIZES),
    Metric("polyhead_batch_rows", "histogram", "Rows in one forward.", (), _SIZES),
    Metric("polyhead_batch_tasks", "histogram", "Distinct tasks in one forward.", (), _SIZES),
    Metric("polyhead_padding_avoided_tokens_total", "counter", "Padding tokens never computed."),
    Metric("polyhead_resident_adapters", "gauge", "Adapters by tier.", ("tier",)),
    Metric("polyhead_resident_bytes", "gauge", "Bytes of adapters and heads by tier.", ("tier",)),
    Metric("polyhead_free_slots", "gauge", "Adapter slots that are free on the device."),
    Metric("polyhead_queue_rows", "gauge", "Rows that wait for the device."),
    Metric("polyhead_queue_tokens", "gauge", "Tokens that wait for the device."),
    Metric("polyhead_requests_inside", "gauge", "Requests admitted and not yet answered."),
    Metric("polyhead_tasks", "gauge", "Tasks by state.", ("state",)),
)


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


class PrometheusRecorder:
    """Keeps the metrics in a registry of its own, so that two servers in a process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            self._declare(metric)

    def _declare(self, metric: Metric) -> None:
        name, text, labels, registry = metric.name, metric.text, metric.labels, self._registry
        if metric.kind == "counter":
            self._counters[name] = Counter(name, text, labels, registry=registry)
        elif metric.kind == "gauge":
            self._gauges[name] = Gauge(name, text, labels, registry=registry)
        else:
            self._histograms[name] = Histogram(
                name, text, labels, registry=registry, buckets=metric.buckets
            )

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Count up."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(*labels) if labels else histogram).observe(value)

    def put(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
