"""Figures: what is drawn, as plain values, and the ways out of it: SVG, PNG, CSV (`rendering`)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import write_bytes

Style = Literal["line", "points", "steps", "bars"]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One curve, cloud or row of bars. NaN leaves a gap. low, high: a band, such as a confidence interval.

    x of strings: names of bars, which then lie on their side. `steps` hold their value until the next x.
    """

    label: str
    x: ArrayLike
    y: ArrayLike
    style: Style = "line"
    low: ArrayLike | None = None
    high: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name in ("y", "low", "high"):
            column = getattr(self, name)
            assert column is None or np.size(column) == np.size(self.x), (self.label, name, np.size(column))


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled line across the axes at `value` of an axis, such as an SLO."""

    value: float
    label: str
    axis: Literal["x", "y"] = "x"


@dataclass(frozen=True, slots=True)
class Figure:
    """One pair of axes. Labels have the units; ranges are (lowest, highest), else as wide as the values."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    x_log: bool = False
    y_log: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None

    @property
    def slug(self) -> str:
        """The title as the stem of a file."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:80] or "figure"


def svg_text(figure: Figure) -> str:
    """A file of its own, in plain colours for a white ground. Equal figures give equal text."""
    from statmux.reporting.rendering import standalone_svg

    return standalone_svg(figure)


def inline_svg(figure: Figure) -> str:
    """An <svg> element without title above it, to stand in a page; colours are CSS variables of the page."""
    from statmux.reporting.rendering import page_svg

    return page_svg(figure)


def png_bytes(figure: Figure) -> bytes:
    """Twice as fine as a screen, on white."""
    from statmux.reporting.rendering import png

    return png(figure)


def csv_text(figure: Figure) -> str:
    """The numbers, one row a point: series, x, y and, where some series has a band, low and high."""
    has_band = any(one.low is not None or one.high is not None for one in figure.series)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", figure.x_label, figure.y_label, *(("low", "high") if has_band else ())])
    for one in figure.series:
        nothing = [None] * np.size(one.x)
        bands = [nothing if side is None else _listed(side) for side in (one.low, one.high)]
        columns = [_listed(one.x), _listed(one.y), *(bands if has_band else ())]
        writer.writerows([one.label, *map(_cell, row)] for row in zip(*columns, strict=True))
    for mark in figure.marks:
        value = _cell(float(mark.value))
        writer.writerow(
            [mark.label, *((value, "") if mark.axis == "x" else ("", value)), *(["", ""] * has_band)]
        )
    return out.getvalue()


def write_figure(path: Path, figure: Figure) -> None:
    """By the suffix: .svg, .png or .csv. Raises InvalidInput on another, RuntimeFailure if not writable."""
    match path.suffix.lower():
        case ".svg":
            content = svg_text(figure).encode()
        case ".png":
            content = png_bytes(figure)
        case ".csv":
            content = csv_text(figure).encode()
        case suffix:
            hint = "let the name end in .svg, .png or .csv"
            raise InvalidInput(
                f"a figure cannot be written as {suffix or 'a file without suffix'}",
                where=str(path),
                hint=hint,
            )
    write_bytes(path, content)


def write_figures(folder: Path, figures: Sequence[Figure]) -> Mapping[str, Figure]:
    """<slug>.svg, .png and .csv of each; a slug that comes again gets a number. Returns slug -> figure."""
    named: dict[str, Figure] = {}
    for figure in figures:
        slug, number = figure.slug, 2
        while slug in named:
            slug, number = f"{figure.slug}-{number}", number + 1
        named[slug] = figure
    for slug, figure in named.items():
        for suffix in (".svg", ".png", ".csv"):
            write_figure(folder / f"{slug}{suffix}", figure)
    return named


def _listed(column: ArrayLike) -> list[float | str]:
    return np.asarray(column).ravel().tolist()


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return str(value) if isinstance(value, str | int) else repr(value)
