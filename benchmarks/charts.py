"""Horizontal bar charts as SVG: plain text that is the same for the same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LABELS, _FIGURES, _ROW, _HEAD = 860, 330, 90, 24, 44
_SPREAD = 40.0
OURS, LIMIT, OTHERS, SECOND = "#2563eb", "#6b7280", "#d97706", "#93c5fd"


@dataclass(frozen=True)
class Bar:
    """One bar.

    Args:
        low, high: quartiles, drawn as a thin line where they are given.
        colour: of the bar.
    """

    label: str
    value: float
    colour: str = OTHERS
    low: float | None = None
    high: float | None = None


def bar_chart(title: str, unit: str, bars: Sequence[Bar], bound: float | None = None) -> str:
    """An SVG with one row a bar; on a logarithmic axis where figures lie far apart.

    Args:
        bound: a value that is to be reached, drawn as a dashed line.
    """
    values = [bar.value for bar in bars if bar.value > 0]
    is_log = bool(values) and max(values) / min(values) > _SPREAD
    ends = [*values, *(bar.high for bar in bars if bar.high is not None)]
    axis = _Axis([*ends, bound] if bound else ends, is_log)
    height = _HEAD + _ROW * len(bars) + 14
    scale = ", logarithmic" if is_log else ""
    rows = [part for row, bar in enumerate(bars) for part in _row(bar, _HEAD + _ROW * row, axis)]
    line = _bound(axis.place(bound), height) if bound else []
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="12" y="24" font-size="15" fill="#111827">{escape(title)} '
            f'<tspan fill="#6b7280" font-size="12">({escape(unit)}{scale})</tspan></text>',
            *rows,
            *line,
            "</svg>",
            "",
        ]
    )


class _Axis:
    """From a figure to a place on the page."""

    def __init__(self, values: Sequence[float], is_log: bool) -> None:
        self.is_log = is_log
        self.least = 0.6 * min(values, default=1.0) if is_log else 0.0
        self.most = max(values, default=1.0)

    def place(self, value: float) -> float:
        """Where a figure ends."""
        return _LABELS + self._share(value) * (_WIDTH - _LABELS - _FIGURES)

    def _share(self, value: float) -> float:
        if self.is_log:
            above = math.log(max(value, self.least) / self.least)
            return min(1.0, above / math.log(self.most / self.least))
        return min(1.0, max(0.0, value / self.most)) if self.most else 0.0


def _row(bar: Bar, top: float, axis: _Axis) -> list[str]:
    end, middle = axis.place(bar.value), top + _ROW / 2
    parts = [
        f'<text x="{_LABELS - 8}" y="{middle + 4:.1f}" text-anchor="end" fill="#111827">'
        f"{escape(bar.label)}</text>",
        f'<rect x="{_LABELS}" y="{top + 4:.1f}" width="{max(1.0, end - _LABELS):.1f}" '
        f'height="{_ROW - 8}" fill="{bar.colour}"/>',
    ]
    far = end
    if bar.low is not None and bar.high is not None:
        far = max(end, axis.place(bar.high))
        parts.append(
            f'<line x1="{axis.place(bar.low):.1f}" x2="{axis.place(bar.high):.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}" stroke="#111827"/>'
        )
    figure = f"{bar.value:,.0f}" if bar.value >= 100 else f"{bar.value:.3g}"
    parts.append(f'<text x="{far + 6:.1f}" y="{middle + 4:.1f}" fill="#111827">{figure}</text>')
    return parts


def _bound(place: float, height: float) -> list[str]:
    return [
        f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{_HEAD - 8}" y2="{height - 10}" '
        'stroke="#dc2626" stroke-dasharray="5 4"/>'
    ]
