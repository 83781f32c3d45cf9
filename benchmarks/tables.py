"""Tables as all benchmarks print them, in Markdown: written, read back, and their cells as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Cells whose unit follows the size of the number are brought to one unit.
UNITS = {
    "": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "/s": 1.0, "k/s": 1e3, "M/s": 1e6, "G/s": 1e9,
    "x": 1.0, "%": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20,
    "k": 1e3, "M": 1e6, "GiB": 2.0**30, "MB/s": 1e6, "GB/s": 1e9, "h": 3600.0, "min": 60.0,
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:\d[\d,]*)(?:\.\d+)?(?:e[+-]?\d+)?")
# What is counted changes no number.
_COUNTED = re.compile(r"\b(?:requests|tokens|lines|steps|models|bytes)\b")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are texts, as printed. title: the line above it, without a colon; empty where there is none."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.headings), (self.title, self.headings, row)

    @property
    def num_keys(self) -> int:
        """How many of the first columns tell the rows apart; all of them where two rows are the same."""
        for number in range(1, len(self.headings)):
            if len({row[:number] for row in self.rows}) == len(self.rows):
                return number
        return len(self.headings)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Table:
    """Cells become texts."""
    return Table(title, tuple(headings), tuple(tuple(str(cell) for cell in row) for row in rows))


def markdown(one: Table) -> str:
    """As `tables_in` reads it. The title stands above."""
    lines = [f"{one.title}\n"] if one.title else []
    lines += [_line(one.headings), "|" + "---|" * len(one.headings), *map(_line, one.rows)]
    return "\n".join(lines)


def tables_in(text: str) -> tuple[Table, ...]:
    """All Markdown tables of a text, in order. A row that has not as many cells as the headings ends one."""
    lines = [line.strip() for line in text.splitlines()]
    found: list[Table] = []
    for number, line in enumerate(lines):
        if number and _RULE.fullmatch(line) and lines[number - 1].startswith("|"):
            headings = _cells(lines[number - 1])
            rows: list[tuple[str, ...]] = []
            for row in lines[number + 1 :]:
                if not row.startswith("|") or len(_cells(row)) != len(headings):
                    break
                rows.append(_cells(row))
            found.append(Table(_title(lines[: number - 1]), headings, tuple(rows)))
    return tuple(found)


def number_in(cell: str) -> float | None:
    """The number of a cell that is one number with at most a unit, in the unit's base; else None."""
    found = _NUMBER.match(cell.strip())
    if found is None:
        return None
    scale = UNITS.get(_COUNTED.sub("", cell.strip()[found.end() :]).replace(" ", ""))
    return None if scale is None else float(found.group().replace(",", "")) * scale


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip("|").split("|"))


def _title(before: Sequence[str]) -> str:
    """The last line, unless it belongs to another table."""
    last = next((line for line in reversed(before) if line), "")
    return "" if last.startswith("|") else last.removesuffix(":")
