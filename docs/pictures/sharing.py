"""Draws sharing.svg: when two models gain by sharing two devices, and when they lose.

    python -m docs.pictures.sharing        writes docs/pictures/sharing.svg and prints its figures

Every point is the simulator's answer to an hour of traffic, as in multiplexing.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.pictures.multiplexing import STYLE, attainments

WIDTH, HEIGHT = 860, 300
LINES = """
path.a, path.b { fill: none; stroke-width: 2.5; } path.a { stroke: #0b66c3; } path.b { stroke: #d9730d; }
@media (prefers-color-scheme: dark) { path.a { stroke: #5aa9ff; } path.b { stroke: #ff9f4a; } }"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: points are (rate_rps, cv), `ticks` what stands below them; attainment from `floor` to 1."""

    title: str
    axis: str
    left: float
    floor: float
    points: tuple[tuple[float, float], ...]
    ticks: tuple[str, ...]


CVS, RATES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (2.0, 3.0, 4.0, 5.0, 6.0)
PANELS = (
    Panel(
        "1.5 requests/s for each model", "CV of the gaps", 64, 0.3,
        tuple((1.5, cv) for cv in CVS), tuple(f"{cv:g}" for cv in CVS),
    ),
    Panel(
        "Poisson traffic (CV 1)", "requests/s for each model", 494, 0.7,
        tuple((rate, 1.0) for rate in RATES), tuple(f"{rate:g}" for rate in RATES),
    ),
)  # fmt: skip
PANEL_WIDTH, TOP, BOTTOM = 340, 66, 236


def picture() -> str:
    """The SVG, always the same text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>SLO attainment of two models apart and shared, by burstiness and by rate</title>",
        f"<style>{STYLE}{LINES}</style>",
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
    ]
    for panel in PANELS:
        parts += _panel(panel)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> Iterator[str]:
    yield _text(panel.left, 30, panel.title, css="title", anchor="start")
    for share in (panel.floor, (1 + panel.floor) / 2, 1.0):
        y = _y(panel, share)
        right = panel.left + PANEL_WIDTH
        yield f'<line class="rule" x1="{panel.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(panel.left - 8, y + 4, f"{share:.0%}", css="dim", anchor="end")
    for index, tick in enumerate(panel.ticks):
        yield _text(_x(panel, index), BOTTOM + 22, tick, css="dim")
    yield _text(panel.left + PANEL_WIDTH / 2, BOTTOM + 46, panel.axis, css="dim")
    found = [attainments(rate_rps=rate_rps, cv=cv) for rate_rps, cv in panel.points]
    yield from _curve(panel, [apart for apart, _ in found], css="b", words="apart")
    yield from _curve(panel, [shared for _, shared in found], css="a", words="shared")


def _curve(panel: Panel, shares: Sequence[float], *, css: str, words: str) -> Iterator[str]:
    points = [f"{_x(panel, index):.1f} {_y(panel, share):.1f}" for index, share in enumerate(shares)]
    yield f'<path class="{css}" d="M{"L".join(points)}"/>'
    # The names stand where the curves are furthest apart.
    index = 3
    below = 22 if css == "b" else -10
    yield _text(_x(panel, index), _y(panel, shares[index]) + below, words, css=css)


def _x(panel: Panel, index: int) -> float:
    return panel.left + 20 + (PANEL_WIDTH - 40) * index / (len(panel.points) - 1)


def _y(panel: Panel, share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (share - panel.floor) / (1 - panel.floor)


def _text(x: float, y: float, words: str, *, css: str = "", anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def main() -> int:
    path = Path(__file__).with_suffix(".svg")
    path.write_text(picture(), encoding="utf-8")
    print(f"wrote {path}")
    for rate_rps, cv in (point for panel in PANELS for point in panel.points):
        apart, shared = attainments(rate_rps=rate_rps, cv=cv)
        print(f"{rate_rps:g} requests/s each, CV {cv:g}: apart {apart:.1%}, shared {shared:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
