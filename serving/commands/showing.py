"""Answers of any kind of task, as text that fits a terminal or as lines of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.remote import Predicted, Refused

_MOST_NUMBERS = 6
_FIRST = ("label", "answer", "word", "token_str", "entity_group", "entity", "score")
_BAR = 20


def json_line(text: str, found: Predicted | Refused) -> str:
    """An input with its answer or error, on one line."""
    line: dict[str, Any]
    if isinstance(found, Refused):
        line = {"inputs": text, "error": {"status": found.status, "message": str(found)}}
    else:
        line = {"inputs": text, "outputs": found.outputs}
        line |= {"truncated": True} if found.is_cut else {}
    return orjson.dumps(line).decode()


def shown(text: str, found: Predicted | Refused, *, is_alone: bool, is_first: bool) -> None:
    """Print an answer, below its input where there are several; a refusal on standard error."""
    console = Console(highlight=False)
    if not is_alone:
        console.print(Text("" if is_first else "\n").append(text, "bold"), soft_wrap=True)
    if isinstance(found, Refused):
        _tell(str(found))
        return
    if found.is_cut:
        _tell("the input was longer than the task's limit, and was cut.")
    outputs = found.outputs
    rows = outputs if isinstance(outputs, list) else [outputs]
    if len(rows) == 1 and isinstance(rows[0], list):
        rows = rows[0]  # of a list of inputs, as the hub answers classifications
    if rows and all(isinstance(row, Mapping) for row in rows):
        console.print(_table(rows, console.is_terminal))
    else:
        console.print(Text(_short(outputs)), soft_wrap=True)


def _tell(what: str) -> None:
    """A line on standard error."""
    Console(stderr=True, highlight=False).print(Text(f"polyhead: {what}"), soft_wrap=True)


def _table(rows: Sequence[Mapping[str, Any]], has_bars: bool) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    table = Table(
        box=None, pad_edge=False, show_header=names != ["label", "score"], header_style="dim"
    )
    for name in names:
        table.add_column(
            name, overflow="fold", justify="right" if _is_numeric(rows, name) else "left"
        )
    for row in rows:
        cells = [Text(_short(row.get(name))) for name in names]
        if has_bars and isinstance(row.get("score"), float) and len(names) == 2:
            cells.append(Text("█" * round(_BAR * min(1.0, max(0.0, row["score"]))), "cyan"))
        table.add_row(*cells)
    return table


def _is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(isinstance(row.get(name), int | float) for row in rows)


def _short(value: Any) -> str:
    """A value on one line; of a vector its first numbers."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, float) for each in value):
        more = f" … ({len(value)} numbers)" if len(value) > _MOST_NUMBERS else ""
        return " ".join(f"{each:.4f}" for each in value[:_MOST_NUMBERS]) + more
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "\n".join(map(_short, value))
    return orjson.dumps(value).decode()
