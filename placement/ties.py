"""Sorting with the ties of AlpaServe's artifact, so that its baselines come out replica for replica.

The artifact sorts with numpy's quicksort, which is not stable: which of two equal groups or models comes
first depends on the partitioning, and moves published goodputs by up to 0.7 points. numpy's own answer
depends on the vector instructions of the machine, so the order is computed here: median of three, insertion
sort up to 16 elements, as in numpy without vector instructions.
"""

from __future__ import annotations

from collections.abc import Sequence

SMALL = 16


def ascending(keys: Sequence[float]) -> list[int]:
    """Indices of `keys` from the smallest to the largest key."""
    order = list(range(len(keys)))
    # Ranges still to be sorted; the order in which they are does not matter.
    ranges = [(0, len(order) - 1)]
    while ranges:
        first, last = ranges.pop()
        if last - first < SMALL:
            order[first : last + 1] = sorted(order[first : last + 1], key=lambda index: keys[index])
            continue
        middle = _partition(order, keys, first, last)
        ranges += [(first, middle - 1), (middle + 1, last)]
    return order


def descending(keys: Sequence[float]) -> list[int]:
    """Indices from the largest to the smallest key: `ascending` read backwards."""
    return ascending(keys)[::-1]


def _partition(order: list[int], keys: Sequence[float], first: int, last: int) -> int:
    """Move what is smaller than a pivot before it and what is larger behind; returns the pivot's place."""
    middle = first + (last - first) // 2
    for low, high in ((first, middle), (middle, last), (first, middle)):
        if keys[order[high]] < keys[order[low]]:
            order[low], order[high] = order[high], order[low]
    pivot = keys[order[middle]]
    left, right = first, last - 1
    order[middle], order[right] = order[right], order[middle]
    while True:
        left += 1
        while keys[order[left]] < pivot:
            left += 1
        right -= 1
        while pivot < keys[order[right]]:
            right -= 1
        if left >= right:
            break
        order[left], order[right] = order[right], order[left]
    order[left], order[last - 1] = order[last - 1], order[left]
    return left
