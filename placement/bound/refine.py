"""Cutting planes: solve, add the rows about time that the solution violates, solve again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts
from placement.bound.columns import Part, columns_of
from placement.bound.fleet import Choice
from placement.bound.intervals import Interval, row_of, violated
from placement.bound.programme import Row, Solution, solve
from placement.bound.resources import Resource, resources_of
from placement.bound.rows import standing_rows
from vocabulary.deployment import Deployment

# Rows added a round for a resource with few uses, and for one with many.
MOST_ROWS = (8, 40)
FEW_USES = 500
# A row whose price is nothing in so many rounds running is left out again.
PATIENCE = 3
NOTHING = 1e-6
MAX_ROUNDS = 200
# A bound above this share of the requests says nothing yet: it often begins to fall after a few rounds.
SOMETHING = 1.0 - 1e-6
# How much longer than foreseen a round may take.
LONGER = 1.3

# A part of the choices, a set of models, and an interval.
Cut = tuple[tuple[int, int], Interval]


@dataclass(frozen=True, slots=True)
class Refined:
    """at_most: requests in time, infinite if nothing was solved; ran_out: time ended it.

    pace: seconds that the solver takes for a row and a column; cuts: the rows about time that matter; groups:
    how many of each choice the last solution has [choices].
    """

    at_most: float
    num_columns: int
    num_rows: int
    ran_out: bool
    pace: float
    cuts: tuple[Cut, ...]
    groups: NDArray[np.float64]


@dataclass(slots=True)
class _Pool:
    """Rows about time in use, and for how many rounds each was not tight."""

    rows: dict[Cut, Row]
    idle: dict[Cut, int]


def refined(
    deployment: Deployment,
    choices: Sequence[Choice],
    bursts: Bursts,
    *,
    parts: Sequence[Part],
    stop_s: float,
    cuts: Sequence[Cut] = (),
    pace: float = 0.0,
    small_gain: float = 0.0,
) -> Refined:
    """The programme over these bursts and parts, until no row is violated, or `perf_counter` says `stop_s`.

    cuts: rows to begin with; pace: of a programme before this one, 0 if there was none. Three rounds that
    lower the bound by less than the share `small_gain` are the last.
    """
    columns = columns_of(choices, bursts, parts=parts, num_models=len(deployment.models))
    standing = standing_rows(deployment, choices, bursts, columns)
    resources = resources_of(choices, parts, bursts, columns)
    pool = _first_rows(resources, cuts)
    bounds = [np.inf]
    num_rows, looking_s, ran_out = 0, 0.0, True
    groups = np.zeros(len(choices))
    for _ in range(MAX_ROUNDS):
        begin_s = time.perf_counter()
        used, rows = list(pool.rows), standing + list(pool.rows.values())
        # The solver looks at its time limit between long steps only.
        if begin_s + LONGER * (pace * len(rows) * len(columns) + looking_s) > stop_s:
            break
        solution = solve(columns, rows, time_limit_s=stop_s - begin_s)
        if solution is None:
            break
        solved_s = time.perf_counter()
        pace = (solved_s - begin_s) / (len(rows) * len(columns))
        num_rows, groups = max(num_rows, len(rows)), solution.values[: len(choices)]
        bounds.append(min(bounds[-1], solution.at_most))
        says_something = bounds[-1] < SOMETHING * bursts.count.sum()
        if says_something:
            _leave_out(pool, used, solution.prices[len(standing) :])
        num_added = _violated_rows(pool, resources, solution)
        looking_s = time.perf_counter() - solved_s
        if not num_added or (says_something and _is_slow(bounds, small_gain)):
            ran_out = False
            break
    return Refined(bounds[-1], len(columns), num_rows, ran_out, pace, tuple(pool.rows), groups)


def _is_slow(bounds: Sequence[float], small_gain: float) -> bool:
    return len(bounds) > 4 and bounds[-4] - bounds[-1] < small_gain * bounds[-1]


def _first_rows(resources: Sequence[Resource], cuts: Sequence[Cut]) -> _Pool:
    """Of each resource one row over all time, and those of `cuts`."""
    pool = _Pool({}, {})
    by_key = {resource.key: resource for resource in resources}
    for resource in resources:
        _add(pool, resource, [Interval(float(resource.release_s.min()), float(resource.due_s.max()))])
    for key, interval in cuts:
        if key in by_key:
            _add(pool, by_key[key], [interval])
    return pool


def _leave_out(pool: _Pool, used: Sequence[Cut], prices: NDArray[np.float64]) -> None:
    """Forget rows that have long not mattered; they come back if they are violated."""
    for cut, price in zip(used, prices, strict=True):
        pool.idle[cut] = 0 if price > NOTHING else pool.idle[cut] + 1
        if pool.idle[cut] >= PATIENCE:
            del pool.rows[cut], pool.idle[cut]


def _violated_rows(pool: _Pool, resources: Sequence[Resource], solution: Solution) -> int:
    """Adds what the solution violates; how many rows that is."""
    num_added = 0
    for resource in resources:
        most_rows = MOST_ROWS[len(resource.served) >= FEW_USES]
        num_added += _add(pool, resource, violated(resource, solution.values, most_rows=most_rows))
    return num_added


def _add(pool: _Pool, resource: Resource, intervals: Sequence[Interval]) -> int:
    num_before = len(pool.rows)
    for interval in intervals:
        cut = (resource.key, interval)
        if cut not in pool.rows:
            row = row_of(resource, interval)
            if len(row.columns) > len(resource.stages):
                pool.rows[cut], pool.idle[cut] = row, 0
    return len(pool.rows) - num_before
