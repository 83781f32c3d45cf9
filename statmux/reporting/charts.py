"""Small SVG charts as text: no library, no script, readable on a phone and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 34
_MAX_POINTS = 240


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; `css` names its class (measured, simulated, arrivals)."""

    label: str
    css: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axes:
    """Limits and words; y runs from 0 to y_max. A mark is a labelled vertical line."""

    x_label: str
    y_label: str
    x_max: float
    y_max: float
    mark_x: float | None = None
    mark_label: str = ""


def line_chart(title: str, axes: Axes, lines: Sequence[Line]) -> str:
    """An SVG element with a title for screen readers."""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" class="chart">',
        f"<title>{escape(title)}</title>",
        *_frame(axes),
    ]
    if axes.mark_x is not None and axes.mark_x <= axes.x_max:
        x = _x(axes, axes.mark_x)
        parts.append(f'<line class="mark" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text class="mark-label" x="{x - 3:.1f}" y="{_TOP + 9}" text-anchor="end">')
        parts.append(f"{escape(axes.mark_label)}</text>")
    parts += [_polyline(axes, line) for line in lines if len(line.x)]
    return "".join([*parts, "</svg>"])


def cdf(values: NDArray[np.float64], num_all: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and share of `num_all` at most x: values that never came keep the curve below 1."""
    x = np.sort(values)
    return x, np.arange(1, len(x) + 1) / max(num_all, 1)


def _frame(axes: Axes) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    for share in (0.0, 0.5, 1.0):
        y, x = _y(axes, share * axes.y_max), _x(axes, share * axes.x_max)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{share * axes.y_max:.3g}</text>'
        )
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 12}" text-anchor="{anchor}">{share * axes.x_max:.3g}</text>'
        )
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(axes.x_label)}</text>')
    parts.append(
        f'<text x="10" y="{(_TOP + bottom) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 10 {(_TOP + bottom) / 2})">{escape(axes.y_label)}</text>'
    )
    return parts


def _polyline(axes: Axes, line: Line) -> str:
    keep = np.unique(np.linspace(0, len(line.x) - 1, min(len(line.x), _MAX_POINTS)).astype(int))
    points = " ".join(
        f"{_x(axes, min(x, axes.x_max)):.1f},{_y(axes, min(y, axes.y_max)):.1f}"
        for x, y in zip(line.x[keep], line.y[keep], strict=True)
    )
    return f'<polyline class="{line.css}" points="{points}"><title>{escape(line.label)}</title></polyline>'


def _x(axes: Axes, x: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * x / axes.x_max


def _y(axes: Axes, y: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * y / axes.y_max
