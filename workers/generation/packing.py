"""A step of the host as arrays of compiled shapes. Numpy only. Suffix legend: generation/shapes.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import numpy as np

from workers.generation.host_step import Draw, HostRow, HostStep
from workers.generation.shapes import StepArrays, StepBucket, StepShapes


@dataclass(frozen=True, slots=True)
class PackedStep:
    """Rows of a step in one compiled shape. draws: in the order of the array's `out`, and which of the

    step's they are.
    """

    bucket: StepBucket
    integers: np.ndarray
    draws: tuple[Draw, ...]
    numbers: tuple[int, ...]


class _Numbered(msgspec.Struct, frozen=True, gc=False):
    """A row and the number of its first draw in the step."""

    row: HostRow
    first: int

    @property
    def length(self) -> int:
        return len(self.row.token_ids)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A shape, and which rows have their last tokens among the rows of one token."""

    bucket: StepBucket
    spilled: frozenset[int]


def pack_step(step: HostStep, shapes: StepShapes) -> tuple[PackedStep, ...]:
    """In one array where a compiled shape holds the step, else in several, to be run one after the other.

    A sequence may have only one row. Tokens of a chunk that would begin a tile of their own take free rows
    of one token where that needs a smaller shape.
    """
    numbered = list(_numbered(step, most_draws=max(one.num_rows for one in shapes.buckets)))
    fit = _fit(numbered, shapes)
    if fit is not None:
        return (_filled(numbered, fit, shapes),)
    return tuple(_filled(rows, one, shapes) for rows, one in _in_groups(numbered, shapes))


def _numbered(step: HostStep, *, most_draws: int) -> Iterator[_Numbered]:
    """A row with more draws than any shape has computes its last token again for the rest of them."""
    number = 0
    for row in step.rows:
        yield _Numbered(
            msgspec.structs.replace(row, draws=row.draws[:most_draws])
            if len(row.draws) > most_draws
            else row,
            number,
        )
        for first in range(most_draws, len(row.draws), most_draws):
            again = HostRow(
                row.token_ids[-1:],
                row.start + len(row.token_ids) - 1,
                row.pages,
                row.draws[first : first + most_draws],
            )
            yield _Numbered(again, number + first)
        number += len(row.draws)


def _in_groups(rows: Sequence[_Numbered], shapes: StepShapes) -> Iterator[tuple[list[_Numbered], _Fit]]:
    """As many rows at a time as some shape holds, in their order."""
    group: list[_Numbered] = []
    best: _Fit | None = None
    for row in rows:
        fit = _fit([*group, row], shapes)
        if fit is None:
            if best is not None:
                yield group, best
            group, fit = [], _fit([row], shapes)
            assert fit is not None, f"a row of {row.length} tokens is more than the largest shape holds"
        group.append(row)
        best = fit
    assert best is not None, "a step without rows fits every shape"
    yield group, best


def _fit(rows: Sequence[_Numbered], shapes: StepShapes) -> _Fit | None:
    """The cheapest shape that holds the rows."""
    num_draws = sum(len(one.row.draws) for one in rows)
    long = [(index, one.length) for index, one in enumerate(rows) if one.length > 1]
    num_single = len(rows) - len(long)
    num_tiles = sum(-(-length // shapes.tile_tokens) for _, length in long)
    tails = sorted((length % shapes.tile_tokens, index) for index, length in long)
    short = [(tail, index) for tail, index in tails if 0 < tail <= shapes.tile_tokens // 4]
    for bucket in shapes.buckets:
        if num_draws > bucket.num_rows or num_single > bucket.num_rows:
            continue
        spilled = short[: max(0, num_tiles - bucket.num_tiles)]
        if (
            num_tiles - len(spilled) <= bucket.num_tiles
            and num_single + sum(tail for tail, _ in spilled) <= bucket.num_rows
        ):
            return _Fit(bucket, frozenset(index for _, index in spilled))
    return None


def _filled(rows: Sequence[_Numbered], fit: _Fit, shapes: StepShapes) -> PackedStep:
    integers = np.zeros(shapes.num_integers(fit.bucket), np.int32)
    arrays = shapes.view(fit.bucket, integers)
    arrays.slots_T[:] = shapes.padding_slot
    singles, tiles = _runs(rows, fit, shapes)
    _fill_singles(arrays, singles, shapes)
    _fill_tiles(arrays, tiles, fit.bucket, shapes)
    ends = {run.index: run.place + run.count - 1 for run in (*singles, *tiles) if run.is_last}
    draws, numbers, places = [], [], []
    for index, one in enumerate(rows):
        draws += one.row.draws
        numbers += range(one.first, one.first + len(one.row.draws))
        places += [ends[index]] * len(one.row.draws)
    arrays.out_R[: len(places)] = places
    return PackedStep(fit.bucket, integers, tuple(draws), tuple(numbers))


class _Run(msgspec.Struct, frozen=True, gc=False):
    """Tokens of row `index`, from its `first`, that lie together: in a tile, or in rows of one token each.

    place: of the first of them on the token axis.
    """

    index: int
    row: HostRow
    first: int
    count: int
    place: int

    @property
    def is_last(self) -> bool:
        return self.first + self.count == len(self.row.token_ids)


def _runs(rows: Sequence[_Numbered], fit: _Fit, shapes: StepShapes) -> tuple[list[_Run], list[_Run]]:
    """Those among the rows of one token, and those in tiles."""
    singles, tiles = [], []
    num_singles, place = 0, fit.bucket.num_rows
    for index, one in enumerate(rows):
        tail = one.length % shapes.tile_tokens if index in fit.spilled else int(one.length == 1)
        for first in range(0, one.length - tail, shapes.tile_tokens):
            count = min(shapes.tile_tokens, one.length - tail - first)
            tiles.append(_Run(index, one.row, first, count, place))
            place += shapes.tile_tokens
        if tail:
            singles.append(_Run(index, one.row, one.length - tail, tail, num_singles))
            num_singles += tail
    return singles, tiles


def _fill_singles(arrays: StepArrays, runs: Sequence[_Run], shapes: StepShapes) -> None:
    """Each token has a table of its own, and sees what is before it."""
    if not runs:
        return
    count = runs[-1].place + runs[-1].count
    pages = [run.row.pages for run in runs for _ in range(run.count)]
    arrays.ids_T[:count] = np.concatenate([run.row.token_ids[run.first :] for run in runs])
    positions_T = np.array(
        [run.row.start + run.first + i for run in runs for i in range(run.count)], np.int32
    )
    arrays.positions_T[:count] = positions_T
    arrays.lengths_S[:count] = positions_T + 1
    _fill_tables(arrays.tables_SM, pages)
    pages_T = arrays.tables_SM[np.arange(count), positions_T // shapes.page_tokens]
    arrays.slots_T[:count] = pages_T * shapes.page_tokens + positions_T % shapes.page_tokens


def _fill_tiles(arrays: StepArrays, runs: Sequence[_Run], bucket: StepBucket, shapes: StepShapes) -> None:
    _fill_tables(arrays.tables_CM, [run.row.pages for run in runs])
    for tile, run in enumerate(runs):
        place = slice(run.place, run.place + run.count)
        start = run.row.start + run.first
        positions_B = np.arange(start, start + run.count, dtype=np.int32)
        arrays.ids_T[place] = run.row.token_ids[run.first : run.first + run.count]
        arrays.positions_T[place] = positions_B
        pages_B = arrays.tables_CM[tile, positions_B // shapes.page_tokens]
        arrays.slots_T[place] = pages_B * shapes.page_tokens + positions_B % shapes.page_tokens
        arrays.starts_C[tile] = start
        arrays.counts_C[tile] = run.count


def _fill_tables(tables_XM: np.ndarray, pages: Sequence[tuple[int, ...]]) -> None:
    """One conversion for all rows: rows one by one cost ten times as much."""
    # Pages that are held for later tokens than any context has are of no use to a table.
    pages = [one[: tables_XM.shape[1]] for one in pages]
    lengths = np.fromiter(map(len, pages), np.int64, len(pages))
    flat = np.fromiter(chain.from_iterable(pages), np.int32, int(lengths.sum()))
    # Not all columns: the longest context that is allowed may be far longer than any that is there.
    columns = np.arange(lengths.max(initial=0))
    tables_XM[: len(pages), : len(columns)][columns < lengths[:, None]] = flat
