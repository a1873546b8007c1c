"""Tasks as tables that are readable in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLUMNS = {
    "Task": "name",
    "Kind": "kind",
    "State": "state",
    "Version": "version",
    "Where": "residency",
}
_FEW = ("Task", "State", "Where")
_NARROW = 60
_VERSION_COLUMNS = ("Version", "State", "Share", "Where", "Requests", "Errors", "p95 ms", "Differ")
_MOST_LABELS = 8
_MOST_EVENTS = 8
_NONE = "–"


def print_tasks(tasks: Sequence[Mapping[str, Any]]) -> None:
    """Print one line for each task, and below why some do not answer."""
    console = Console()
    names = _FEW if console.width < _NARROW else tuple(_COLUMNS)
    table = _table(names)
    for task in tasks:
        table.add_row(*(_cell(task.get(_COLUMNS[name])) for name in names))
    console.print(table)
    for task in tasks:
        if task.get("reason"):
            _print_line(console, f"{task['name']}: {task['reason']}")


def print_task(task: Mapping[str, Any]) -> None:
    """Print all that is known of a task."""
    console = Console()
    for name, value in _facts(task):
        _print_line(console, f"{name:<9} {value}")
    table = _table(_VERSION_COLUMNS)
    for version in task.get("versions", ()):
        table.add_row(*map(_cell, _version_row(version)))
    console.print(table)
    for version in task.get("versions", ()):
        for line in reasons(version):
            _print_line(console, f"{version.get('id') or _NONE}: {line}")
    for event in task.get("events", ())[-_MOST_EVENTS:]:
        _print_line(console, _event(event))


def reasons(version: Mapping[str, Any]) -> list[str]:
    """Why a version does not answer, each with its code; else its last error, if any."""
    found = [f"[{each['code']}] {each['message']}" for each in version.get("reasons", ())]
    return found or [version["last_error"]] if version.get("last_error") or found else []


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "State")
    return table


def _facts(task: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "task", str(task.get("name"))
    yield "state", str(task.get("state"))
    if task.get("reason"):
        yield "reason", str(task["reason"])
    if task.get("kind"):
        yield "kind", str(task["kind"])
    if labels := task.get("labels"):
        more = f" … ({len(labels)})" if len(labels) > _MOST_LABELS else ""
        yield "labels", ", ".join(map(str, labels[:_MOST_LABELS])) + more
    for name in ("limits", "rollback"):
        if values := {key: value for key, value in (task.get(name) or {}).items() if value}:
            yield name, ", ".join(f"{key} {values[key]}" for key in values)
    if task.get("retired"):
        yield "retired", ", ".join(task["retired"])
    if not task.get("writable"):
        yield "catalog", "read-only: a single file or bare folders"


def _version_row(version: Mapping[str, Any]) -> Iterator[Any]:
    marks = [name for name in ("pinned", "shadow") if version.get(name)]
    traffic = version.get("traffic") or {}
    yield version.get("id")
    yield "\n".join([str(version.get("state")), *marks])
    yield _percent(version.get("share"))
    yield version.get("residency")
    yield traffic.get("requests")
    yield _percent(traffic.get("error_rate"))
    p95 = (traffic.get("latency_ms") or {}).get("p95")
    yield None if p95 is None else f"{p95:.1f}"
    yield _percent(traffic.get("disagreement"))


def _event(event: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(event["at"]).strftime("%Y-%m-%d %H:%M:%S")
    version = f" {event['version']}" if event.get("version") else ""
    reason = f" – {event['reason']}" if event.get("reason") else ""
    return f"{at} {event['what']}{version}{reason}"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.3g} %"


def _cell(value: Any) -> Text:
    """Text as it is: square brackets in labels and reasons are no markup."""
    return Text(_NONE if value is None or value == "" else str(value))


def _print_line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
