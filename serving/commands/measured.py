"""What a server's metrics say of the time between two looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isinf

from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Look:
    """All metrics at one moment.

    Args:
        at_s: when, in seconds of any clock.
        samples: labels and values by name and task; by name and no task all of a name.
    """

    at_s: float
    samples: Mapping[tuple[str, str], Sequence[Sample]]

    def of(self, name: str, labels: Mapping[str, str]) -> Iterator[Sample]:
        """A metric's samples that have these labels."""
        wanted = labels.items()
        for sample in self.samples.get((name, labels.get("task", "")), ()):
            if wanted <= sample[0].items():
                yield sample

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 where there is none."""
        return sum(value for _, value in self.of(name, labels))


def look(text: str, at_s: float) -> Look:
    """Metrics as they stand in Prometheus' text format.

    Raises:
        ValueError: it is none.
    """
    samples: dict[tuple[str, str], list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for task in {"", sample.labels.get("task", "")}:
                found = samples.setdefault((sample.name, task), [])
                found.append((sample.labels, sample.value))
    return Look(at_s, samples)


@dataclass(frozen=True, slots=True)
class Between:
    """What happened between two looks; a server that began anew counts from nothing."""

    before: Look
    after: Look

    def rate(self, name: str, **labels: str) -> float:
        """How much a counter grew, per second."""
        return self._grown(name, labels) / max(1e-9, self.after.at_s - self.before.at_s)

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """A quantile of a histogram's observations, in its unit; None where there were none.

        Args:
            share: 0 to 1.
        """
        counts = self._counts(name, labels)
        total = max(counts.values(), default=0.0)
        if total <= 0:
            return None
        for (lower, below), (upper, count) in pairwise([(0.0, 0.0), *sorted(counts.items())]):
            if count >= share * total:
                inside = (share * total - below) / (count - below) if count > below else 1.0
                return lower if isinf(upper) else lower + inside * (upper - lower)
        return None

    def _counts(self, name: str, labels: Mapping[str, str]) -> dict[float, float]:
        """How many new observations were at most so much, by bucket."""
        counts = [_by_edge(each, name, labels) for each in (self.before, self.after)]
        return {edge: self._since(counts[0].get(edge, 0.0), counts[1][edge]) for edge in counts[1]}

    def _grown(self, name: str, labels: Mapping[str, str]) -> float:
        return self._since(self.before.value(name, **labels), self.after.value(name, **labels))

    def _since(self, before: float, after: float) -> float:
        start = "polyhead_start_time_seconds"
        is_same = self.before.value(start) == self.after.value(start)
        return max(0.0, after - before) if is_same else after


def _by_edge(seen: Look, name: str, labels: Mapping[str, str]) -> dict[float, float]:
    counts: dict[float, float] = {}
    for own, value in seen.of(f"{name}_bucket", labels):
        edge = float(own["le"])
        counts[edge] = counts.get(edge, 0.0) + value
    return counts
