"""Benchmarks just run against those that are kept: a ratio for every number, and which ones say something.

    python -m benchmarks.compare                    # all of build/benchmarks against benchmarks/results
    python -m benchmarks.compare journal --all      # one, with the rows within the noise

A row is outside the noise where its ratio is beyond the band of the benchmark, or, where several runs were
kept, beyond what those differed among themselves. It never fails: times on another machine say little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.catalogue import NOISE, fresh_folder
from benchmarks.results import KEPT, Result, read
from benchmarks.tables import Table, markdown, number_in, table

HEADINGS = ("benchmark", "row", "column", "kept", "now", "now / kept", "noise", "")


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table: medians of the runs, as printed by the middle one. band: 1 or more."""

    benchmark: str
    row: str
    column: str
    kept: str
    now: str
    ratio: float
    band: float

    @property
    def is_outside(self) -> bool:
        return not 1 / self.band <= self.ratio <= self.band


@dataclass(frozen=True, slots=True)
class Comparison:
    """cells: numbers in both that are not zero; num_only_one: rows that only one of the two has."""

    cells: tuple[Cell, ...]
    num_only_one: int


def compare(kept: Result, now: Result, *, noise: float) -> Comparison:
    """All numbers of tables, rows and columns that both have. noise: the least band, 1.2 for 20 percent."""
    olds, news = _numbers(kept), _numbers(now)
    cells = tuple(
        Cell(kept.name, row, column, _middle(olds[row, column]), _middle(new), ratio, band)
        for (row, column), new in news.items()
        if (row, column) in olds
        for ratio in [_ratio(olds[row, column], new)]
        if ratio is not None
        for band in [max(noise, _spread(olds[row, column]), _spread(new))]
    )
    rows = [{row for row, _ in found} for found in (olds, news)]
    return Comparison(cells, len(rows[0] ^ rows[1]))


def report(comparisons: Sequence[Comparison], *, shows_all: bool) -> str:
    """What is outside the noise, as a table, and how much is within."""
    cells = [cell for one in comparisons for cell in one.cells]
    shown = [cell for cell in cells if shows_all or cell.is_outside]
    num_outside = sum(cell.is_outside for cell in cells)
    words = [f"{len(cells)} numbers compared, {num_outside} outside the noise"]
    num_only_one = sum(one.num_only_one for one in comparisons)
    if num_only_one:
        words.append(f"{num_only_one} rows are in one of the two only")
    lines = [markdown(table(HEADINGS, map(_row, shown)))] if shown else []
    return "\n\n".join([*lines, "; ".join(words)])


def _row(cell: Cell) -> tuple[str, ...]:
    mark = "outside" if cell.is_outside else ""
    band = f"{100 * (cell.band - 1):.0f}%"
    return (cell.benchmark, cell.row, cell.column, cell.kept, cell.now, f"{cell.ratio:.2f}", band, mark)


def _numbers(result: Result) -> dict[tuple[str, str], list[str]]:
    """(row, column) -> its cells in all runs."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in result.runs:
        for row, column, cell in _cells(run):
            found.setdefault((row, column), []).append(cell)
    return found


def _cells(run: Iterable[Table]) -> Iterator[tuple[str, str, str]]:
    for one in run:
        for row in one.rows:
            key = ", ".join(part for part in (one.title, *row[: one.num_keys]) if part)
            for heading, cell in zip(one.headings[one.num_keys :], row[one.num_keys :], strict=True):
                if number_in(cell) is not None:
                    yield key, heading, cell


def _values(cells: Sequence[str]) -> list[float]:
    return [value for cell in cells if (value := number_in(cell)) is not None]


def _middle(cells: Sequence[str]) -> str:
    """The cell whose number is the median, the lower of two."""
    return sorted(cells, key=lambda cell: number_in(cell) or 0.0)[(len(cells) - 1) // 2]


def _ratio(kept: Sequence[str], now: Sequence[str]) -> float | None:
    old, new = median(_values(kept)), median(_values(now))
    return new / old if old > 0 and new > 0 else None


def _spread(cells: Sequence[str]) -> float:
    """The largest of the runs by the smallest."""
    values = _values(cells)
    return max(values) / min(values) if min(values) > 0 else 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the comparison; what was not run, or is not kept, is said."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", help="of benchmarks; all that were run without it")
    options.add_argument("--fresh", type=Path, default=fresh_folder(), help="folder of what was just run")
    options.add_argument("--kept", type=Path, default=KEPT, help="folder of what to compare with")
    options.add_argument("--all", action="store_true", help="rows within the noise too")
    chosen = options.parse_args(arguments)
    found: list[Comparison] = []
    for name in chosen.names or sorted(path.stem for path in chosen.fresh.glob("*.json")):
        paths = [folder / f"{name}.json" for folder in (chosen.kept, chosen.fresh)]
        if missing := [path for path in paths if not path.exists()]:
            print(f"{name}: nothing to compare: no {missing[0]}", file=sys.stderr)
            continue
        kept, now = map(read, paths)
        print(f"{name}: {_where(kept)} against {_where(now)}", file=sys.stderr)
        found.append(compare(kept, now, noise=NOISE.get(name, NOISE[""])))
    if found:
        print(report(found, shows_all=chosen.all))
    return 0


def _where(result: Result) -> str:
    one = result.provenance
    return f"{one.commit or 'unknown commit'} ({one.num_cpus} cores, load {one.load_average:g})"


if __name__ == "__main__":
    sys.exit(main())
