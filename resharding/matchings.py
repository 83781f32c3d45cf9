"""A matrix of loads as a sum of matchings that lasts as long as its busiest row or column."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Pairs = dict[int, int]


def matchings(load: NDArray[np.int64]) -> Iterable[tuple[Pairs, int]]:
    """Sets of row -> column pairs that share no row or column, each with the load that they carry.

    Together they carry exactly `load` (rows and columns number the same things), and their loads sum to the
    largest row or column sum (Birkhoff and von Neumann). From one to the next, pairs change only where one
    has nothing left to carry: a repair is an augmenting path (Kuhn).
    """
    number = len(load)
    left = _balanced(load)
    columns = [set(np.flatnonzero(row).tolist()) for row in left]
    entries = left.tolist()
    row_of: dict[int, int] = {}
    unmatched = [row for row in range(len(entries)) if columns[row]]
    while unmatched:
        for row in unmatched:
            found = _augment(row, columns, row_of, set())
            assert found, "rows and columns of equal sums always match"
        amount = min(entries[row][column] for column, row in row_of.items())
        yield {row: column for column, row in row_of.items() if row < number and column < number}, amount
        unmatched: list[int] = []
        for column, row in list(row_of.items()):
            entries[row][column] -= amount
            if entries[row][column] == 0:
                columns[row].discard(column)
                del row_of[column]
                if columns[row]:
                    unmatched.append(row)


def _augment(row: int, columns: list[set[int]], row_of: dict[int, int], seen: set[int]) -> bool:
    """Match `row`, re-matching others where needed."""
    for column in columns[row]:
        if column not in row_of:
            row_of[column] = row
            return True
    for column in columns[row]:
        if column not in seen:
            seen.add(column)
            if _augment(row_of[column], columns, row_of, seen):
                row_of[column] = row
                return True
    return False


def _balanced(load: NDArray[np.int64]) -> NDArray[np.int64]:
    """`load` in the corner of a matrix whose every row and column has the largest sum: idling as an entry."""
    sent, taken = load.sum(axis=1), load.sum(axis=0)
    busiest = max(int(sent.max(initial=0)), int(taken.max(initial=0)))
    return np.block([[load, np.diag(busiest - sent)], [np.diag(busiest - taken), load.T]])
