"""Which figures of a question its chart shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.charts import LIMIT, OTHERS, OURS, SECOND, Bar, bar_chart
from benchmarks.results import Result


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        figures: of each contender, one bar for each that it has; none: the ratios.
        bound: is drawn as a line.
        has_others: whether some of its bars are peers' or the machine's limit, as their names say.
    """

    title: str
    unit: str
    figures: tuple[str, ...] = ()
    bound: float | None = None
    has_others: bool = True


CHARTS: Mapping[str, Chart] = {
    "http_share": Chart(
        "Over HTTP, share of the engine alone", "higher is better", ("share_of_engine",), 0.9
    ),
    "http_infinity": Chart("Requests a second", "higher is better", ("requests_per_s",)),
    "registered_http": Chart("Requests a second", "higher is better", ("requests_per_s",)),
    "analyze": Chart(
        "Eight tasks on one text, and on eight texts",
        "ms, lower is better",
        ("one_text_ms", "eight_texts_ms"),
        has_others=False,
    ),
    "resident_bytes": Chart("Bytes of one more resident task", "its own tensors = 1", (), 1.1),
    "busy": Chart("One batch, quiet and busy", "ms, lower is better", ("quiet_ms", "busy_ms")),
    "cold_start": Chart("Cold and warm", "ms, lower is better", ("median_ms", "p95_ms")),
}
"""Questions that are not here show their medians, if they have them; `accuracy` is a table."""
MEDIANS = Chart("Medians and quartiles", "ms, lower is better", ("median_ms",))


def chart_of(result: Result) -> str | None:
    """A question's chart as SVG; None where it has no figures for one."""
    chart = CHARTS.get(result.question, MEDIANS)
    bars = bars_of(result, chart)
    if not bars:
        return None
    return bar_chart(f"{result.question}: {chart.title}", chart.unit, bars, chart.bound)


def bars_of(result: Result, chart: Chart) -> list[Bar]:
    """One bar for each figure that is there."""
    if not chart.figures:
        return [Bar(name, value, OURS) for name, value in result.ratios.items()]
    bars = []
    for name, figures in result.contenders.items():
        seen = [figure for figure in chart.figures if figure in figures]
        for figure in seen:
            label = (
                f"{name}, {figure.rpartition('_')[0].replace('_', ' ')}" if len(seen) > 1 else name
            )
            low, high = (figures.get(f"{edge}_{figure[-2:]}") for edge in ("p25", "p75"))
            if figure != "median_ms":
                low = high = None
            shade = colour(name) if chart.has_others else OURS
            if len(seen) > 1 and figure == seen[-1]:
                shade = SECOND
            bars.append(Bar(label, figures[figure], shade, low, high))
    return bars


def colour(contender: str) -> str:
    """Ours, the machine's limit, or someone else's."""
    if "products" in contender or "bare" in contender:
        return LIMIT
    peers = ("infinity", "peft", "adapters", "onnxruntime", "openvino")
    return OTHERS if any(peer in contender.lower() for peer in peers) else OURS
