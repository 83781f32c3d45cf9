"""A linear programme made row by row, and what its optimum is at most: by weak duality, not on trust."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placement.bound.columns import Columns

# Of the sums of the certificate, whose terms are rounded.
ROUNDING = 1e-10


@dataclass(frozen=True, slots=True)
class Row:
    """sum(values x columns) <= limit."""

    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    limit: float = 0.0


@dataclass(slots=True)
class Rows:
    """Rows in the order in which they came."""

    rows: list[Row] = field(default_factory=list)

    def add(self, columns: Iterable[int], values: Iterable[float], limit: float = 0.0) -> None:
        self.rows.append(Row(np.fromiter(columns, np.int64), np.fromiter(values, float), limit))


@dataclass(frozen=True, slots=True)
class Solution:
    """values: [columns]; prices: of the rows, >= 0 [rows]; at_most: no solution gains more than this."""

    values: NDArray[np.float64]
    prices: NDArray[np.float64]
    at_most: float


# Interior points without the walk to a corner, then corner by corner: the first sometimes ends undecided.
METHODS: tuple[tuple[str, dict[str, object]], ...] = (
    ("highs-ipm", {"run_crossover": "off"}),
    ("highs-ds", {}),
)


def solve(columns: Columns, rows: list[Row], *, time_limit_s: float) -> Solution | None:
    """The most that columns can gain; None where the solver did not end in time.

    Only prices are asked of HiGHS, and how good they are is computed here, so that its tolerances cannot
    make the bound too small.
    """
    from scipy.sparse import csr_array  # a fifth of a second to import: only who asks for a bound pays

    end_s = time.perf_counter() + time_limit_s
    pointers = np.concatenate([[0], np.cumsum([len(row.columns) for row in rows])])
    places = np.concatenate([row.columns for row in rows])
    values = np.concatenate([row.values for row in rows])
    matrix = csr_array((values, places, pointers), shape=(len(rows), len(columns)))
    limits = np.array([row.limit for row in rows])
    for method, options in METHODS:
        left_s = end_s - time.perf_counter()
        if left_s <= 0:
            break
        found = _solved(columns, matrix, limits, method=method, options={**options, "time_limit": left_s})
        if found.x is not None:
            prices = np.maximum(0.0, -found.ineqlin.marginals)
            return Solution(found.x, prices, at_most(columns, matrix, limits, prices))
    return None


def _solved(
    columns: Columns, matrix: Any, limits: NDArray[np.float64], *, method: str, options: dict[str, object]
) -> Any:
    from scipy.optimize import linprog

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy does not know `run_crossover`, and hands it on with a word
        return linprog(
            -columns.gain,
            A_ub=matrix,
            b_ub=limits,
            bounds=np.column_stack([np.zeros(len(columns)), columns.most]),
            method=method,
            options=options,
        )


def at_most(columns: Columns, matrix: Any, limits: NDArray[np.float64], prices: NDArray[np.float64]) -> float:
    """What no solution gains more than, for any prices >= 0 of the rows.

    Let x be a solution: gain x <= gain x + prices (limits - matrix x), as both factors of the last term are
    >= 0, and that is prices limits + (gain - matrix' prices) x, where every x is at best 0 or `most`.
    """
    left = columns.gain - matrix.T @ prices
    total = float(limits @ prices + columns.most @ np.maximum(0.0, left))
    size = float(np.abs(limits) @ prices + columns.most @ np.abs(left))
    return total + ROUNDING * size
