"""The labels that a PromQL expression's answer has; an expression that asks for others is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import METRICS, PrometheusRecorder

SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
TARGET = frozenset({"job", "namespace", "instance", "pod"})
"""What Prometheus itself adds; on one machine some of them are empty."""
PROCESS = frozenset(
    sample.name
    for family in text_string_to_metric_families(PrometheusRecorder().exposition().decode())
    if family.name.startswith("process_")
    for sample in family.samples
)
"""What every program of Prometheus' Python client tells of itself."""
SERIES = {
    f"{metric.name}{suffix}": TARGET.union(metric.labels, {"le"} if suffix == "_bucket" else ())
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
} | dict.fromkeys(("up", *PROCESS), TARGET)
_SETS = frozenset({"or", "and", "unless"})
_CHOOSING = frozenset({"topk", "bottomk"})
Labels = frozenset[str]


class UnknownName(Exception):
    """A series, or a label of one, that no server shows."""


class Labelled:
    """Finds out what an expression's answer is labelled with.

    Args:
        recorded: expressions of recording rules by name.
    """

    def __init__(self, recorded: dict[str, str]) -> None:
        self._recorded = recorded
        self.seen: set[str] = set()
        self._cases: dict[type, Callable[[Any], Labels]] = {
            promql.VectorSelector: self._selector,
            promql.MatrixSelector: lambda node: self._selector(node.vector_selector),
            promql.ParenExpr: lambda node: self._of(node.expr),
            promql.UnaryExpr: lambda node: self._of(node.expr),
            promql.NumberLiteral: lambda node: frozenset(),
            promql.StringLiteral: lambda node: frozenset(),
            promql.AggregateExpr: self._aggregate,
            promql.BinaryExpr: self._binary,
            promql.Call: self._call,
        }

    def labels(self, expression: str) -> Labels:
        """The labels of the answer.

        Raises:
            UnknownName: it names what there is not.
            ValueError: it cannot be parsed.
        """
        return self._of(promql.parse(expression))

    def _of(self, node: Any) -> Labels:
        return self._cases[type(node)](node)

    def _selector(self, node: Any) -> Labels:
        if node.name in self._recorded:
            known = self.labels(self._recorded[node.name])
        elif node.name in SERIES:
            known = SERIES[node.name]
            self.seen.add(node.name)
        else:
            raise UnknownName(f"no server shows {node.name}")
        _demand({matcher.name for matcher in node.matchers.matchers}, known, node.name)
        return known

    def _aggregate(self, node: Any) -> Labels:
        inner = self._of(node.expr)
        if str(node.op) in _CHOOSING:
            return inner
        if node.modifier is None:
            return frozenset()
        asked = frozenset(node.modifier.labels)
        _demand(asked, inner, "by")
        if node.modifier.type == promql.AggModifierType.Without:
            return inner - asked
        return asked

    def _binary(self, node: Any) -> Labels:
        left, right = self._of(node.lhs), self._of(node.rhs)
        if str(node.op) in _SETS:
            return left | right if str(node.op) == "or" else left
        if left and right and left != right:
            raise UnknownName(f"{sorted(left)} never match {sorted(right)}")
        return left or right

    def _call(self, node: Any) -> Labels:
        found = frozenset().union(*map(self._of, node.args))
        if node.func.name == "histogram_quantile":
            _demand({"le"}, found, node.func.name)
            return found - {"le"}
        if node.func.name == "label_replace":
            return found | {node.args[1].val}
        if node.func.name == "absent":
            return frozenset({"job"})
        return found


def _demand(asked: set[str] | Labels, known: Labels, where: str) -> None:
    if asked - known:
        raise UnknownName(f"{where}: no label {', '.join(sorted(asked - known))}")
