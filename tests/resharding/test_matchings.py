"""Loads as matchings: exact, conflict-free, and no longer than the busiest port."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from resharding.matchings import matchings


@pytest.mark.parametrize("seed", range(50))
def test_matchings_carry_the_load_within_its_busiest_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 9))
    load = rng.integers(0, 1000, (size, size)) * (rng.random((size, size)) < 0.5)
    carried, length = np.zeros_like(load), 0
    for pairs, amount in matchings(load):
        assert amount > 0
        assert max(Counter(pairs.values()).values(), default=1) == 1
        for row, column in pairs.items():
            carried[row, column] += amount
        length += amount
    np.testing.assert_array_equal(carried, load)
    assert length == max(load.sum(axis=0).max(), load.sum(axis=1).max())


def test_no_load_takes_no_matching() -> None:
    assert list(matchings(np.zeros((3, 3), dtype=np.int64))) == []
