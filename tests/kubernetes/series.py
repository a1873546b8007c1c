"""The series that a PromQL expression asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser

_INNER = ("expr", "lhs", "rhs", "vector_selector", "param")


def series_of(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Every metric's name in it with the labels that it is chosen by."""
    if isinstance(node, promql_parser.VectorSelector):
        matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
        yield node.name or matchers.pop("__name__", ""), set(matchers)
        return
    for name in _INNER:
        inner = getattr(node, name, None)
        if inner is not None:
            yield from series_of(inner)
    for inner in getattr(node, "args", None) or ():
        yield from series_of(inner)
