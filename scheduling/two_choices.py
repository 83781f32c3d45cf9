"""Two of several by a count: what a router that may not draw numbers takes for random."""

from __future__ import annotations

_MASK = 0xFFFF_FFFF
# Odd, without a pattern, and so small that products stay below 2**63: compiled code does the same sums.
_FACTOR = 0x045D_9F3B
# An odd number near 2**32 over the golden ratio: counts of different front ends start far from each other.
_STRIDE = 0x9E37_79B1


def first_count(front: int) -> int:
    """Where a front end's counts start, so that no two make the same choices; 0 of the first."""
    return front * _STRIDE & _MASK


def two_of(num_choices: int, count: int) -> tuple[int, int]:
    """Two different indices below `num_choices` (at least 2), ascending; those of count 0 are 0 and 1."""
    mixed = mixed_of(count)
    first = mixed % num_choices
    second = (first + 1 + mixed // num_choices % (num_choices - 1)) % num_choices
    return (first, second) if first < second else (second, first)


def mixed_of(count: int) -> int:
    """A hash of 32 bits; 0 of 0."""
    number = count & _MASK
    number = (number >> 16 ^ number) * _FACTOR & _MASK
    number = (number >> 16 ^ number) * _FACTOR & _MASK
    return number >> 16 ^ number
