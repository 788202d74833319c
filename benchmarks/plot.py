"""The table as a chart: each ratio with its spread and its target, the highest acceptable value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.measure import Row

_LABEL_WIDTH, _PLOT_WIDTH, _VALUE_WIDTH, _LINE, _TOP = 670, 340, 70, 26, 44
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; } .soft { fill: #656d76; } .end { text-anchor: end; }
.middle { text-anchor: middle; } line { stroke: #d0d7de; } .spread { stroke: #0969da; stroke-width: 3; }
.dot { fill: #0969da; } .missed { fill: #cf222e; } .target { stroke: #1a7f37; stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .soft { fill: #8d96a0; } line { stroke: #30363d; }
.spread { stroke: #4493f8; } .dot { fill: #4493f8; } .missed { fill: #f85149; } .target { stroke: #3fb950; } }
"""


def draw(rows: Sequence[Row]) -> str:
    """Return an SVG document with the rows that have a target, on a logarithmic axis."""
    shown = [(row, row.target) for row in rows if row.target is not None]
    least = min(min(row.spread[0], target) for row, target in shown)
    most = max(max(row.spread[1], target, 1.0) for row, target in shown)
    low, high = math.log10(least) - 0.1, math.log10(most) + 0.1

    def x(ratio: float) -> float:
        return _LABEL_WIDTH + _PLOT_WIDTH * (math.log10(ratio) - low) / (high - low)

    width, height = _LABEL_WIDTH + _PLOT_WIDTH + _VALUE_WIDTH, _TOP + _LINE * len(shown) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Ratios of the benchmarks with their targets"><style>{_STYLE}</style>',
        f'<text x="{_LABEL_WIDTH - 12}" y="20" class="soft end">ours ÷ theirs: less is better</text>',
    ]
    for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2):
        if low <= math.log10(tick) <= high:
            parts += [
                f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="28" y2="{height - 8}"/>',
                f'<text x="{x(tick):.1f}" y="20" class="soft middle">{tick}</text>',
            ]
    for number, (row, target) in enumerate(shown):
        y = _TOP + _LINE * number + 6
        start, end = row.spread
        parts += [
            f'<text x="{_LABEL_WIDTH - 12}" y="{y + 4}" class="end">{escape(row.what)} '
            f'<tspan class="soft">/ {escape(row.against)}</tspan></text>',
            f'<line x1="{x(start):.1f}" x2="{x(end):.1f}" y1="{y}" y2="{y}" class="spread"/>',
            f'<circle cx="{x(row.ratio):.1f}" cy="{y}" r="4.5" class="{"dot" if row.reached else "missed"}"/>',
            f'<line x1="{x(target):.1f}" x2="{x(target):.1f}" y1="{y - 9}" y2="{y + 9}" class="target"/>',
            f'<text x="{width - 8}" y="{y + 4}" class="end">{row.ratio:.2g}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
