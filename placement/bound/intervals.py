"""The rows about time, and which of the very many are violated: what must happen in an interval fits into it.

Take requests that all come after `begin_s` and are all due before `end_s`. On a group each keeps some stage
busy for its seconds, in whatever order a clairvoyant serves, after what it takes in the stages before and
before what it takes in those after: within `end_s - begin_s - margin_s`. So that stage does at most so many
seconds of work for them, the floor of length / seconds of requests that are alike, as it ends whole requests;
and no more work than they bring. Summed over all groups that may serve them, with x of a choice:

    sum(work x served) <= sum over choices of x times min(capacity(end_s - begin_s), all their work)

where x counts replicas if the requests are of one model, groups that hold any of their models otherwise.
Where models take different shares of a second, `capacity` is the length times the most work in a second.
That it is at most all their work is what ties requests to replicas: no replica, no request; half a replica,
half of each. Preemption, any order, any batch and knowing the future change nothing of this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.programme import Row
from placement.bound.resources import SLACK_S, Resource

# Requests by which a row has to be violated to be added.
TOLERANCE = 1e-3
# Columns of a choice below this do not hold enough to matter to which rows are violated.
NOTHING = 1e-7


@dataclass(frozen=True, slots=True)
class Interval:
    """From the first arrival of some use to when some use is due."""

    begin_s: float
    end_s: float


def row_of(resource: Resource, interval: Interval) -> Row:
    """The row above."""
    inside = (resource.release_s >= interval.begin_s) & (resource.due_s <= interval.end_s)
    work = resource.work[inside]
    total = float(work @ resource.count[inside])
    length_s = np.array(interval.end_s - interval.begin_s)
    most = [min(float(resource.capacity(stage, length_s)), total) for stage in range(len(resource.stages))]
    columns = np.concatenate([resource.served[inside], resource.stages])
    return Row(columns, np.concatenate([work, -np.array(most)]))


def violated(resource: Resource, values: NDArray[np.float64], *, most_rows: int) -> list[Interval]:
    """The most violated intervals that do not overlap, at most so many; none where all rows hold."""
    served = values[resource.served]
    if served.sum() < TOLERANCE:
        return []
    threshold = TOLERANCE * float(resource.work.mean())
    excess, begin_s, end_s = _worst_begins(
        resource, served, numbers=values[resource.stages], threshold=threshold
    )
    found: list[Interval] = []
    for place in np.argsort(-excess):
        if excess[place] <= threshold or len(found) == most_rows:
            break
        interval = Interval(float(begin_s[place]), float(end_s[place]))
        if all(interval.begin_s >= one.end_s or interval.end_s <= one.begin_s for one in found):
            found.append(interval)
    return found


def _worst_begins(
    resource: Resource, served: NDArray[np.float64], *, numbers: NDArray[np.float64], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For every due time the begin of the interval whose row is violated most: excess, begin and end [uses].

    numbers: how many stages of each choice there are.
    """
    from placement.bound.kernel import worst_begins  # numba takes half a second to import

    order = np.argsort(resource.due_s, kind="stable")
    begins_s = np.sort(resource.release_s)
    used = numbers > NOTHING
    excess, place = worst_begins(
        order,
        np.searchsorted(begins_s, resource.release_s, side="right"),
        begins_s,
        resource.due_s,
        resource.work,
        resource.count,
        np.ascontiguousarray(served),
        resource.is_counted,
        numbers[used],
        resource.rates[used],
        resource.margins_s[used] - SLACK_S,
        threshold,
    )
    return excess, begins_s[place], resource.due_s[order]
