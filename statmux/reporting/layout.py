"""A page that stands alone: a verdict, then numbered sections of figures, tables and a map of devices."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

from statmux.reporting.figures import Figure, csv_text, inline_svg

_TEMPLATE = Path(__file__).with_name("template.html")
# Rows of the table below a figure; the CSV has all.
_MAX_ROWS = 40
_MAX_OPEN_ROWS = 30


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are read. Columns of numbers are aligned to the right, others to the left."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    @property
    def is_folded(self) -> bool:
        """Whether it is behind a button, so that it does not bury what follows."""
        return len(self.rows) > _MAX_OPEN_ROWS

    @property
    def is_left(self) -> tuple[bool, ...]:
        """Of each column, whether it has words."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        numbers = [all(not cell or cell[0] in "0123456789~×+-–" for cell in column) for column in columns]
        return tuple(index == 0 or not is_number for index, is_number in enumerate(numbers))


@dataclass(frozen=True, slots=True)
class Box:
    """A device: the letter of what it holds, words for the pointer, how full it is (0..1; None: unknown)."""

    letter: str
    color_index: int
    words: str
    fill: float | None


@dataclass(frozen=True, slots=True)
class Host:
    """A row of the map."""

    name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A line of the map's legend: groups that hold the same models."""

    letter: str
    color_index: int
    words: str


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """Hosts and their devices; `more` says what was left out."""

    hosts: tuple[Host, ...]
    kinds: tuple[Kind, ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """`absent`: why there is nothing to show, in one line. `folded`: figures behind a button."""

    title: str
    note: str = ""
    figures: tuple[Figure, ...] = ()
    folded: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    lines: tuple[str, ...] = ()
    map: DeviceMap | None = None
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of the verdict, with its name above and a remark below."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`answer` is a word or two, `sentence` says of what. is_good None: nothing was asked."""

    answer: str
    sentence: str
    is_good: bool | None
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Sections are numbered from 2: the verdict is the first."""

    title: str
    subtitle: str
    verdict: Verdict
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(one for section in self.sections for one in (*section.figures, *section.folded))


@dataclass(frozen=True, slots=True)
class _Drawn:
    figure: Figure
    svg: Markup
    uri: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_rows: int


def render(page: Page) -> str:
    """One HTML document; nothing in it is fetched from anywhere, and it has no script."""
    environment = Environment(
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_TEMPLATE.read_text()).render(page=page, drawn=_drawn)


def _drawn(figure: Figure) -> _Drawn:
    text = csv_text(figure)
    columns, *rows = csv.reader(io.StringIO(text))
    keep = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), _MAX_ROWS)).astype(int))
    cells = [[_shown(cell) for cell in rows[at]] for at in keep]
    return _Drawn(figure, Markup(inline_svg(figure)), _uri(text), columns, cells, len(rows))


def _shown(cell: str) -> str:
    """A number with as many digits as are read."""
    try:
        return f"{float(cell):.5g}"
    except ValueError:
        return cell


def _uri(text: str) -> str:
    return f"data:text/csv;charset=utf-8,{quote(text, safe=',')}"
