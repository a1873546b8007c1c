"""A plan as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.planning import facts
from serving.planning.facts import Fact
from serving.planning.figures import Figures
from serving.planning.memory import MIB
from serving.planning.sizing import Plan
from serving.planning.wishes import Wishes

_MILLI, _MICRO = 1e-3, 1e-6


def plan_json(figures: Figures, wishes: Wishes, plan: Plan) -> dict[str, Any]:
    """What `polyhead plan --json` prints: each number with its unit and origin."""
    return {
        "machine": figures.machine.model_dump(),
        "given": _json(facts.given(wishes, plan)),
        "measured": _json(facts.measured(figures, plan)),
        "batches": [each.model_dump() for each in figures.batches],
        "whole": _json(facts.replica(plan.whole, wishes)),
        "affine": _json(facts.replica(plan.affine, wishes)),
        "topology": str(plan.topology),
        "why": plan.advice,
        "left_out": [each.model_dump() for each in figures.left_out],
        "notes": list(plan.notes),
    }


def print_plan(figures: Figures, wishes: Wishes, plan: Plan) -> None:
    """Print the plan for people."""
    console, machine = Console(), figures.machine
    where = f"{machine.backbone} ({machine.dtype} on {machine.device})"
    _line(console, f"{where}, {machine.cores} cores, {machine.lanes} lanes; {figures.version}")
    chosen = plan.whole if plan.topology == "whole" else plan.affine
    other = "affine" if plan.topology == "whole" else "whole"
    _print(console, "Given", facts.given(wishes, plan))
    _print(console, "Seen", facts.measured(figures, plan))
    _print(console, f"Each replica, {plan.topology}", facts.replica(chosen, wishes))
    _line(console, f"Topology: {plan.topology}: {plan.advice}.")
    rest = plan.affine if other == "affine" else plan.whole
    _line(
        console,
        f"With {other}: {rest.count} replicas, {rest.tasks_each} tasks each, {rest.resident} in "
        f"memory, {shown(rest.request_bytes, 'bytes')} each, {rest.cold:.1%} wait for a load.",
    )
    for note in plan.notes:
        _line(console, f"Note: {note}")
    for each in figures.left_out:
        _line(console, f"Left out: {each.name}: {each.reason}")


def shown(value: float | str | None, unit: str) -> str:
    """A number with its unit, at a size that people read."""
    if value is None or isinstance(value, str):
        return value or "–"
    if unit == "bytes":
        return f"{value / MIB:,.1f} MiB" if value < 100 * MIB else f"{value / MIB:,.0f} MiB"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "s":
        return _seconds(value)
    return f"{value:,.4g} {unit}".rstrip() if value < 1000 else f"{value:,.0f} {unit}"


def _seconds(value: float) -> str:
    if value < _MILLI:
        return f"{value / _MICRO:.3g} µs"
    return f"{value / _MILLI:.3g} ms" if value < 1 else f"{value:.3g} s"


def _json(found: Iterable[Fact]) -> dict[str, Any]:
    return {
        each.key: {
            "value": int(each.value) if each.key.isupper() and each.value else each.value,
            "unit": each.unit,
            "origin": str(each.origin),
            **({"how": each.how} if each.how else {}),
        }
        for each in found
    }


def _print(console: Console, title: str, found: Iterable[Fact]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in (title, "", "Origin"):
        table.add_column(column, overflow="fold")
    for each in found:
        origin = f"{each.origin}: {each.how}" if each.how else str(each.origin)
        table.add_row(Text(each.label), Text(shown(each.value, each.unit)), Text(origin))
    console.print(table)
    console.print()


def _line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
