"""How every figure looks: one plain style of matplotlib; a page's CSS replaces its colours."""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from statmux.reporting.figures import Figure, Mark, Series
from statmux.reporting.thinning import thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Points (1/72 inch), which are the SVG's units too: on a phone one is about a pixel.
WIDTH, HEIGHT = 346, 236
_LEGEND_ROW = 15
INK, DIM, GRID, MARK, PAPER = "#1c2430", "#5d6b7f", "#dfe4eb", "#b3261f", "#fffffe"
# Okabe and Ito's palette (2008), which is told apart with any common colour blindness; yellow is too light.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4fa0")
VARIABLES = {INK: "--ink", DIM: "--dim", GRID: "--rule", MARK: "--mark", PAPER: "--page"} | {
    color: f"--series-{index}" for index, color in enumerate(PALETTE, 1)
}
_DASHES = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "////", "....", "xxxx", "----", "\\\\\\\\", "++++")
# Markers on more points than this would hide the line.
_MAX_MARKED = 40
_STYLE = {
    "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 10.5, "text.color": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": 10.5,
    "axes.labelcolor": DIM, "axes.edgecolor": DIM, "axes.facecolor": "none", "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.formatter.useoffset": False, "axes.formatter.limits": (-4, 6),
    "grid.color": GRID, "grid.linewidth": 0.8, "xtick.color": DIM, "ytick.color": DIM, "xtick.labelsize": 10,
    "ytick.labelsize": 10, "lines.linewidth": 1.8, "lines.markersize": 4.5, "hatch.linewidth": 0.8,
    "legend.frameon": False, "legend.fontsize": 10.5, "legend.handlelength": 2.4, "figure.facecolor": "none",
}  # fmt: skip


def drawn(figure: Figure, *, has_title: bool) -> Canvas:
    """To be called, and saved, inside `looks`."""
    from matplotlib.figure import Figure as Canvas

    rows = _legend_rows(figure)
    height = (
        _axes_height(figure) + _LEGEND_ROW * len(rows) + (18 * len(_title_lines(figure)) if has_title else 0)
    )
    canvas = Canvas(figsize=(WIDTH / 72, height / 72), layout="constrained")
    canvas.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    _draw(canvas, figure, num_columns=max(map(len, rows), default=1), has_title=has_title)
    return canvas


def _axes_height(figure: Figure) -> float:
    """Names of bars take a line each, all else the same room."""
    num_names = max((np.size(one.x) for one in figure.series if _is_named(one)), default=None)
    return HEIGHT if num_names is None else 64 + 26 * num_names


def looks(salt: str) -> AbstractContextManager[None]:
    """The style, whatever a user's matplotlibrc says. `salt`: what the names inside an SVG are made of."""
    import matplotlib.style

    return matplotlib.style.context(["default", _STYLE, {"svg.hashsalt": salt}])


def _draw(canvas: Canvas, figure: Figure, *, num_columns: int, has_title: bool) -> None:
    axes = canvas.add_subplot()
    is_sideways = any(_is_named(one) for one in figure.series)
    bars = [one for one in figure.series if one.style == "bars"]
    for index, one in enumerate(figure.series):
        if one.style == "bars":
            _draw_bars(axes, one, index, place=bars.index(one), num_bars=len(bars))
        else:
            _draw_series(axes, one, index)
    _dress(axes, figure, is_sideways=is_sideways)
    for mark in figure.marks:
        _draw_mark(axes, mark)
    if not any(np.size(one.x) for one in figure.series):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", va="center", color=DIM)
    if has_title:
        axes.set_title("\n".join(_title_lines(figure)))
    if _legend_rows(figure):
        canvas.legend(loc="outside lower left", ncols=num_columns, columnspacing=1.2, borderaxespad=0.2)


def _draw_series(axes: Axes, one: Series, index: int) -> None:
    x, y, low, high = thinned(one)
    if one.style == "line" and np.array_equal(x, y):
        # What is equal on both axes is no finding but a rule to read others by.
        look = {"color": DIM, "linestyle": _DASHES[1], "linewidth": 1.2}
        axes.plot(x, y, label=_short(one.label), **look)
    elif one.style == "steps":
        axes.step(x, y, where="post", label=_short(one.label), **_line(index))
    elif one.style == "points":
        axes.plot(x, y, linestyle="", label=_short(one.label), **_marker(index, many=len(x) > 200))
    else:
        marker = _marker(index, many=False) if len(x) <= _MAX_MARKED else {}
        axes.plot(x, y, label=_short(one.label), **(_line(index) | marker))
    if low is not None and high is not None:
        step = "post" if one.style == "steps" else None
        if one.style == "points":
            axes.vlines(x, low, high, color=_color(index), linewidth=1)
        else:
            axes.fill_between(x, low, high, color=_color(index), alpha=0.18, linewidth=0, step=step)


def _draw_bars(axes: Axes, one: Series, index: int, *, place: int, num_bars: int) -> None:
    look = {"color": _color(index), "label": _short(one.label)}
    if _HATCHES[place % len(_HATCHES)]:
        look |= {"hatch": _HATCHES[place % len(_HATCHES)], "edgecolor": PAPER}
    y = np.asarray(one.y, dtype=float)
    if _is_named(one):
        thick = 0.8 / num_bars
        rows = np.arange(len(y)) + (place - (num_bars - 1) / 2) * thick
        axes.barh(rows, y, thick, **look)
        axes.set_yticks(np.arange(len(y)), [_short(str(name)) for name in np.asarray(one.x)])
        axes.set_ylim(len(y) - 0.5, -0.5)
        return
    x = np.asarray(one.x, dtype=float)
    gap = float(np.diff(np.unique(x)).min()) if len(np.unique(x)) > 1 else 1.0
    thick = 0.9 * gap / num_bars
    axes.bar(x + (place - (num_bars - 1) / 2) * thick, y, thick, **look)


def _dress(axes: Axes, figure: Figure, *, is_sideways: bool) -> None:
    x_label, y_label = figure.x_label, figure.y_label
    if is_sideways:
        x_label, y_label = y_label, x_label
    axes.set_xlabel("\n".join(textwrap.wrap(x_label, 54)))
    axes.set_ylabel("\n".join(textwrap.wrap(y_label, 34)))
    axes.grid(axis="x" if is_sideways else "y")
    axes.tick_params(length=3, width=0.8)
    for axis, is_log in ((axes.xaxis, figure.x_log), (axes.yaxis, figure.y_log)):
        if is_log and not is_sideways:
            _make_log(axes, axis)
    if not is_sideways and not figure.x_log:
        _count_whole(axes.xaxis, [one.x for one in figure.series])
    if not figure.y_log:
        _count_whole(axes.xaxis if is_sideways else axes.yaxis, [one.y for one in figure.series])
    if figure.x_range is not None:
        axes.set_xlim(*figure.x_range)
    if figure.y_range is not None:
        (axes.set_xlim if is_sideways else axes.set_ylim)(*figure.y_range)


def _make_log(axes: Axes, axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    num_octaves = float(np.log2(high / low)) if low > 0 else 30.0
    # Round numbers with room between them: any, then powers of two, then 1-2-5, then powers of ten.
    if num_octaves < 2:
        axis.set_major_locator(MaxNLocator(6))
    elif num_octaves < 7 and low > 0.1:
        axis.set_major_locator(LogLocator(base=2))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if num_octaves < 10 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _count_whole(axis: Any, columns: list[ArrayLike]) -> None:
    """Ticks of counts (devices, requests) are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    values = (
        np.concatenate([np.asarray(one, dtype=float).ravel() for one in columns]) if columns else np.zeros(0)
    )
    values = values[np.isfinite(values)]
    if len(values) and np.array_equal(values, np.round(values)):
        axis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def _draw_mark(axes: Axes, mark: Mark) -> None:
    look = {"color": MARK, "linewidth": 1.1, "linestyle": (0, (2, 2))}
    words = {
        "color": MARK,
        "fontsize": 10,
        "bbox": {"facecolor": PAPER, "alpha": 0.75, "linewidth": 0, "pad": 0.8},
    }
    if mark.axis == "y":
        # Named in the legend: beside the line a name would lie on the curves that end near it.
        axes.axhline(mark.value, label=_short(mark.label), **look)
        return
    axes.axvline(mark.value, **look)
    is_right = _share_along(axes, mark.value) > 0.6
    axes.annotate(
        mark.label,
        (mark.value, 0.04),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-3 if is_right else 3, 0),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="bottom",
        **words,
    )


def _share_along(axes: Axes, value: float) -> float:
    """Where a value lies between the left end (0) and the right end (1)."""
    return float(axes.transAxes.inverted().transform(axes.transData.transform((value, 0.5)))[0])


def _line(index: int) -> dict[str, Any]:
    return {"color": _color(index), "linestyle": _DASHES[index % len(_DASHES)]}


def _marker(index: int, *, many: bool) -> dict[str, Any]:
    look = {"color": _color(index), "marker": _MARKERS[index % len(_MARKERS)]}
    return look | ({"markersize": 2.5, "alpha": 0.6, "markeredgewidth": 0} if many else {})


def _color(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def _is_named(one: Series) -> bool:
    return one.style == "bars" and np.asarray(one.x).dtype.kind in "UO"


def _legend_rows(figure: Figure) -> list[list[str]]:
    """Labels in rows as wide as the figure; none when one series needs no name."""
    lines = [mark.label for mark in figure.marks if mark.axis == "y"]
    labels = [_short(label) for label in (*(one.label for one in figure.series), *lines) if label]
    if len(figure.series) < 2 and not lines:
        return []
    # A handle and its gaps are about eight letters wide, the figure about sixty.
    num_columns = max(1, min(len(labels), 60 // (max(map(len, labels)) + 8)))
    return [labels[at : at + num_columns] for at in range(0, len(labels), num_columns)]


def _short(label: str) -> str:
    return label if len(label) <= 42 else f"{label[:40]}…"


def _title_lines(figure: Figure) -> list[str]:
    return textwrap.wrap(figure.title, 44)[:3]
