"""What `polyhead top` shows, as wide and as high as the terminal is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from serving.commands.measured import Between

_LINES_AROUND = 9
_NARROW = 72
_MIB = 1 << 20
_NONE = "–"
_WORDS = {"Task": "name", "State": "state", "Where": "residency"}
_ALL = (*_WORDS, "req/s", "errors/s", "p50 ms", "p95 ms", "tok/s")
_FEW = ("Task", "State", "req/s", "p95 ms")


@dataclass(frozen=True, slots=True)
class Screen:
    """One picture of a server.

    Args:
        url: of the server.
        tasks: as it lists them.
        between: what its metrics say; None where the key may not see them.
        trouble: why nothing new is known, if so.
    """

    url: str
    tasks: Sequence[Mapping[str, Any]]
    between: Between | None
    trouble: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it: the busiest tasks that there is room for."""
        height = options.height or console.height
        room = max(1, height - _LINES_AROUND) if console.is_terminal else len(self.tasks)
        rows = sorted(self.tasks, key=lambda task: (-self._rate(task), str(task["name"])))
        yield from self._head()
        yield self._table(rows[:room], is_narrow=options.max_width < _NARROW)
        if len(rows) > room:
            yield _line(f"… and {len(rows) - room} more", "dim")

    def _head(self) -> list[Text]:
        lines = [_line(f"Polyhead {self.url}   {len(self.tasks)} tasks", "bold")]
        if self.trouble:
            lines.append(_line(self.trouble, "bold red"))
        if self.between is None:
            lines.append(_line("no rates: /metrics is for keys with the action metrics", "yellow"))
            return lines
        return [*lines, *map(_line, _facts(self.between)), _line("")]

    def _table(self, tasks: Sequence[Mapping[str, Any]], is_narrow: bool) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        names = _FEW if is_narrow else _ALL
        for name in names:
            table.add_column(
                name,
                justify="left" if name in _WORDS else "right",
                no_wrap=True,
                overflow="ellipsis",
                min_width=None if name == "Task" else len(name),
            )
        for task in tasks:
            cells = self._cells(task)
            table.add_row(*(Text(cells[name]) for name in names))
        return table

    def _rate(self, task: Mapping[str, Any]) -> float:
        name = str(task["name"])
        return self.between.rate("polyhead_requests_total", task=name) if self.between else 0.0

    def _cells(self, task: Mapping[str, Any]) -> dict[str, str]:
        """What stands in each column."""
        cells = {column: str(task.get(key) or _NONE) for column, key in _WORDS.items()}
        if self.between is None:
            return dict.fromkeys(_ALL, _NONE) | cells
        rate, quantile, name = self.between.rate, self.between.quantile, str(task["name"])
        for column, share in (("p50 ms", 0.5), ("p95 ms", 0.95)):
            cells[column] = _ms(quantile("polyhead_request_seconds", share, task=name))
        cells["req/s"] = f"{rate('polyhead_requests_total', task=name):.1f}"
        cells["errors/s"] = f"{rate('polyhead_errors_total', task=name):.1f}"
        cells["tok/s"] = f"{rate('polyhead_tokens_total', task=name):.0f}"
        return cells


def _line(text: str, style: str = "") -> Text:
    """One line, cut where the terminal ends."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _facts(between: Between) -> list[str]:
    rate, value, quantile = between.rate, between.after.value, between.quantile
    waited = quantile("polyhead_queue_seconds", 0.95)
    batches = rate("polyhead_compute_seconds_count")
    rows = rate("polyhead_batch_rows_sum") / batches if batches else 0.0
    held = value("polyhead_resident_bytes", tier="device") / _MIB
    return [
        f"{rate('polyhead_requests_total'):.1f} req/s   "
        f"{rate('polyhead_errors_total'):.1f} errors/s   "
        f"{rate('polyhead_tokens_total'):.0f} tok/s   "
        f"inside {value('polyhead_requests_inside'):.0f}",
        f"queue {value('polyhead_queue_rows'):.0f} rows, p95 {_ms(waited)} ms   "
        f"batches {batches:.1f}/s of {rows:.1f} rows",
        f"on the device {value('polyhead_resident_adapters', tier='device'):.0f} adapters, "
        f"{held:.1f} MiB   connections {value('polyhead_connections'):.0f}",
    ]


def _ms(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{1000 * seconds:.1f}"
