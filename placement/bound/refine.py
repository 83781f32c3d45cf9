"""Cutting planes: solve, add the rows about time that the solution violates, solve again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from placement.bound.bursts import Bursts
from placement.bound.columns import columns_of
from placement.bound.fleet import Choice
from placement.bound.intervals import Interval, row_of, violated
from placement.bound.programme import Row, Solution, solve
from placement.bound.resources import Resource, resources_of
from placement.bound.rows import standing_rows
from vocabulary.deployment import Deployment

# Rows added a round for a model's replicas, and for all groups of a configuration.
MOST_ROWS = (8, 40)
# A row that is not tight in so many rounds running is left out again.
PATIENCE = 3
# A round that makes the bound lower by less than this share is the last but two.
SMALL_GAIN = 2e-5
MAX_ROUNDS = 200

Cut = tuple[int, Interval]


@dataclass(frozen=True, slots=True)
class Refined:
    """at_most: requests in time, infinite if nothing was solved; is_optimal: no row is violated any more."""

    at_most: float
    num_columns: int
    num_rows: int
    is_optimal: bool


@dataclass(slots=True)
class _Pool:
    """Rows about time in use, and for how many rounds each was not tight."""

    rows: dict[Cut, Row]
    idle: dict[Cut, int]


def refined(deployment: Deployment, choices: Sequence[Choice], bursts: Bursts, *, stop_s: float) -> Refined:
    """The programme over these bursts, until no row is violated or `perf_counter` says `stop_s`."""
    columns = columns_of(choices, bursts, num_models=len(deployment.models))
    standing = standing_rows(deployment, choices, columns)
    resources = resources_of(choices, bursts, columns)
    pool = _Pool({}, {})
    for number, resource in enumerate(resources):
        _add(pool, resource, number, [Interval(float(resource.release_s.min()), float(resource.due_s.max()))])
    bounds = [np.inf]
    num_rows, last_s = len(standing), 0.0
    for _ in range(MAX_ROUNDS):
        begin_s = time.perf_counter()
        # The next solution takes about as long as the last one, or somewhat longer.
        if begin_s + 1.3 * last_s > stop_s:
            break
        cuts = list(pool.rows)
        solution = solve(columns, standing + list(pool.rows.values()), time_limit_s=stop_s - begin_s)
        if solution is None:
            break
        num_rows = max(num_rows, len(standing) + len(cuts))
        bounds.append(min(bounds[-1], solution.at_most))
        num_added = _next_rows(pool, cuts, resources, solution, num_standing=len(standing))
        last_s = time.perf_counter() - begin_s
        if not num_added:
            return Refined(bounds[-1], len(columns), num_rows, is_optimal=True)
        if (
            len(bounds) > 4
            and bounds[-1] < 0.9999 * bursts.count.sum()
            and bounds[-4] - bounds[-1] < SMALL_GAIN * bounds[-1]
        ):
            break
    return Refined(bounds[-1], len(columns), num_rows, is_optimal=False)


def _next_rows(
    pool: _Pool, cuts: list[Cut], resources: Sequence[Resource], solution: Solution, *, num_standing: int
) -> int:
    """Adds what the solution violates, leaves out what has long not mattered; how many were added."""
    for cut, price in zip(cuts, solution.prices[num_standing:], strict=True):
        pool.idle[cut] = 0 if price > 1e-6 else pool.idle[cut] + 1
        if pool.idle[cut] >= PATIENCE:
            del pool.rows[cut], pool.idle[cut]
    num_added = 0
    for number, resource in enumerate(resources):
        few, many = MOST_ROWS
        most_rows = few if len(resource.served) < 500 else many
        intervals = violated(resource, solution.values, most_rows=most_rows)
        num_added += _add(pool, resource, number, intervals)
    return num_added


def _add(pool: _Pool, resource: Resource, number: int, intervals: Sequence[Interval]) -> int:
    num_before = len(pool.rows)
    for interval in intervals:
        if (number, interval) not in pool.rows:
            pool.rows[number, interval] = row_of(resource, interval)
            pool.idle[number, interval] = 0
    return len(pool.rows) - num_before
