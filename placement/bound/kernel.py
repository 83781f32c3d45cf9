"""The compiled heart of the search for violated rows: every interval of a resource. Imports numba."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def worst_begins(
    order: NDArray[np.int64],
    last_begin: NDArray[np.int64],
    begins_s: NDArray[np.float64],
    due_s: NDArray[np.float64],
    work: NDArray[np.float64],
    count: NDArray[np.float64],
    served: NDArray[np.float64],
    is_counted: bool,
    numbers: NDArray[np.float64],
    rates: NDArray[np.float64],
    margins_s: NDArray[np.float64],
    threshold: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """By how much the row of each due time is exceeded at worst, and from which begin on [uses], in `order`.

    order: uses by due time; last_begin: of the ascending begins, those before this one have the use in their
    interval [uses]; numbers: how many stages of each choice there are; what exceeds by less than `threshold`
    is 0.
    """
    done = np.zeros(len(order))
    asked = np.zeros(len(order))
    excess = np.zeros(len(order))
    place = np.zeros(len(order), dtype=np.int64)
    for position, use in enumerate(order):
        stop = last_begin[use]
        more_done, more_asked = work[use] * served[use], work[use] * count[use]
        for begin in range(stop):
            done[begin] += more_done
            asked[begin] += more_asked
        worst = threshold
        for begin in range(stop):
            # What is done exceeds what can be done by no more than itself.
            if done[begin] <= worst:
                continue
            length_s = due_s[use] - begins_s[begin]
            most = 0.0
            for stage in range(len(numbers)):
                capacity = max(0.0, length_s - margins_s[stage]) * rates[stage]
                if is_counted:
                    capacity = math.floor(capacity) if capacity < asked[begin] else capacity
                most += numbers[stage] * min(capacity, asked[begin])
            if done[begin] - most > worst:
                worst = excess[position] = done[begin] - most
                place[position] = begin
    return excess, place
