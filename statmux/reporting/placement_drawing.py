"""How the picture of a placement looks: a grid of groups, each with names, utilisation and stages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from statmux.reporting.drawing import DIM, GRID, INK, MARK, PALETTE, PAPER
from statmux.reporting.placement_picture import Column, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Points (1/72 inch).
COLUMN = 132
GAP = 14
MARGIN = 16
MAX_COLUMNS = 8
STAGE = 13
_LINE = 12
_HEAD = 40
_NAME_LINE = 10.5
_LABEL = 13
# Letters of a name, in points of its size; measured on DejaVu Sans.
_LETTER = 0.56
_NAME_SIZE = 7.5
# Every seventh model has a palette colour again: lighter, then darker.
_SHADES = ((None, 0.0), ("#ffffff", 0.5), ("#000000", 0.35))


def drawn(picture: Picture) -> Canvas:
    """To be called, and saved, inside `looks`."""
    from matplotlib.figure import Figure as Canvas

    rows = _rows(picture.columns)
    heights = [_height(row) for row in rows]
    num_columns = max((len(row) for row in rows), default=1)
    width = 2 * MARGIN + max(3, num_columns) * (COLUMN + GAP) - GAP
    head = 24 + _LINE * len(picture.lines) + 10
    foot = _LINE * len(picture.remarks) + MARGIN
    height = MARGIN + head + sum(heights) + GAP * len(rows) + foot
    canvas = Canvas(figsize=(width / 72, height / 72))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    _draw_head(axes, picture)
    top = MARGIN + head
    scale = max((column.usable_bytes for column in picture.columns), default=1) or 1
    for row, tall in zip(rows, heights, strict=True):
        num_lines = max(len(_name_lines(column)) for column in row)
        for number, column in enumerate(row):
            _draw_column(axes, column, MARGIN + number * (COLUMN + GAP), top, scale, num_lines)
        top += tall + GAP
    for number, remark in enumerate(picture.remarks):
        axes.text(MARGIN, top + _LINE * number, remark, color=MARK, fontsize=9, va="top")
    return canvas


def _rows(columns: tuple[Column, ...]) -> list[tuple[Column, ...]]:
    """Rows as even as they can be."""
    num_rows = math.ceil(len(columns) / MAX_COLUMNS)
    size = math.ceil(len(columns) / num_rows) if num_rows else 1
    return [columns[start : start + size] for start in range(0, len(columns), size)]


def _height(row: tuple[Column, ...]) -> float:
    num_lines = max(len(_name_lines(column)) for column in row)
    return _HEAD + _NAME_LINE * num_lines + 4 + STAGE * max(len(column.stages) for column in row)


def _name_lines(column: Column) -> list[list[tuple[str, int]]]:
    """Models in lines as wide as the column."""
    lines: list[list[tuple[str, int]]] = []
    room = 0.0
    for name, number in column.models:
        wide = _name_width(name)
        if not lines or wide > room:
            lines.append([])
            room = COLUMN
        lines[-1].append((name, number))
        room -= wide
    return lines


def _name_width(name: str) -> float:
    return 17 + _NAME_SIZE * _LETTER * len(_short(name))


def _draw_head(axes: Axes, picture: Picture) -> None:
    axes.text(MARGIN, MARGIN, picture.title, color=INK, fontsize=13, fontweight="bold", va="top")
    for number, line in enumerate(picture.lines):
        axes.text(MARGIN, MARGIN + 22 + _LINE * number, line, color=DIM, fontsize=9, va="top")


def _draw_column(axes: Axes, column: Column, left: float, top: float, scale: int, num_lines: int) -> None:
    """num_lines: names of the row's fullest group, so that stages stand side by side."""
    axes.text(left, top, column.id, color=INK, fontsize=10, fontweight="bold", va="top")
    axes.text(left + COLUMN, top, column.mesh, color=INK, fontsize=8.5, va="top", ha="right")
    axes.text(left, top + 13, column.devices, color=DIM, fontsize=7.5, va="top")
    _draw_utilisation(axes, column, left, top + 28)
    at = top + _HEAD
    for line in _name_lines(column):
        x = left
        for name, number in line:
            _box(axes, x, at + 1, 7, 7, color_of(number), hatch=_hatch_of(number))
            axes.text(x + 9, at, _short(name), color=INK, fontsize=_NAME_SIZE, va="top")
            x += _name_width(name)
        at += _NAME_LINE
    at = top + _HEAD + _NAME_LINE * num_lines + 4
    for index in range(len(column.stages)):
        _draw_stage(axes, column, index, left, at + STAGE * index, scale)


def _draw_utilisation(axes: Axes, column: Column, left: float, top: float) -> None:
    """A thin bar: how busy the busiest stage is."""
    if column.utilisation is None:
        return
    words = f"busy {column.utilisation:.0%}"
    axes.text(left, top - 2.5, words, color=DIM, fontsize=7.5, va="top")
    start, wide = left + 50, COLUMN - 50
    _box(axes, start, top + 1, wide, 3, GRID)
    _box(axes, start, top + 1, wide * min(1.0, column.utilisation), 3, DIM)


def _draw_stage(axes: Axes, column: Column, index: int, left: float, top: float, scale: int) -> None:
    """What each model takes of a device's memory, as wide as the memory is."""
    stage, tall = column.stages[index], STAGE - 3
    start, wide = left + _LABEL, (COLUMN - _LABEL - 26) * column.usable_bytes / scale
    middle = top + tall / 2 + 0.5
    axes.text(left, middle, str(index), color=DIM, fontsize=7.5, va="center")
    _box(axes, start, top, wide, tall, GRID)
    x, per_byte = start, wide / max(1, column.usable_bytes)
    for (name, number), num_bytes in zip(column.models, stage.model_bytes, strict=True):
        part = num_bytes * per_byte
        _box(axes, x, top, part, tall, color_of(number), edge=PAPER, hatch=_hatch_of(number))
        if part > _name_width(name) - 12:
            look = {"color": PAPER if _is_dark(number) and not _hatch_of(number) else INK, "fontsize": 6.5}
            ground = {"facecolor": PAPER, "linewidth": 0, "pad": 0.4} if _hatch_of(number) else None
            axes.text(x + part / 2, middle, _short(name), va="center", ha="center", bbox=ground, **look)
        x += part
    _box(axes, x, top, stage.other_bytes * per_byte, tall, DIM)
    share = stage.used_bytes / max(1, column.usable_bytes)
    axes.text(start + wide + 3, middle, f"{share:.0%}", color=DIM, fontsize=7.5, va="center")


def _box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    color: str,
    *,
    edge: str | None = None,
    hatch: str = "",
) -> None:
    from matplotlib.patches import Rectangle

    line = edge or (PAPER if hatch else "none")
    look = {"linewidth": 0.5 if edge else 0.0, "edgecolor": line, "facecolor": color, "hatch": hatch or None}
    axes.add_patch(Rectangle((x, y), width, height, **look))


def color_of(number: int) -> str:
    """Of a model, by its number in the deployment: 21 that can be told apart, then again, hatched."""
    base = PALETTE[number % len(PALETTE)]
    towards, share = _SHADES[number // len(PALETTE) % len(_SHADES)]
    if towards is None:
        return base
    parts = [(int(base[at : at + 2], 16), int(towards[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(one + share * (other - one)):02x}" for one, other in parts)


def _hatch_of(number: int) -> str:
    return "" if number < len(PALETTE) * len(_SHADES) else "//////"


def _is_dark(number: int) -> bool:
    color = color_of(number)
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue < 135


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
