"""The certificate: whatever prices a solver gives, no solution gains more than what is computed of them."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from placement.bound.columns import Columns
from placement.bound.programme import Row, at_most, solve


def columns(most: list[float], gain: list[float]) -> Columns:
    nothing = np.zeros((0, 0), dtype=np.int64)
    return Columns(nothing, (), nothing, nothing, np.array(most), np.array(gain))


def test_the_optimum_is_bounded_from_above_and_closely() -> None:
    rows = [Row(np.array([0, 1]), np.array([1.0, 2.0]), 4.0), Row(np.array([0]), np.array([1.0]), 1.0)]
    solution = solve(columns([3.0, 9.0], [1.0, 1.0]), rows, time_limit_s=10.0)
    assert solution is not None
    assert 2.5 <= solution.at_most == pytest.approx(2.5, rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_any_prices_give_an_upper_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = csr_array(rng.uniform(-1, 1, (6, 5)))
    asked = columns(list(rng.uniform(0, 3, 5)), list(rng.uniform(-1, 1, 5)))
    points = rng.uniform(0, 0.3, (500, 5)) * asked.most
    limits = rng.uniform(0.2, 2, 6)
    allowed = points[(points @ matrix.toarray().T <= limits).all(axis=1)]
    assert len(allowed)
    for _ in range(20):
        assert (allowed @ asked.gain).max() <= at_most(asked, matrix, limits, rng.uniform(0, 2, 6))


def test_a_solver_without_time_gives_nothing() -> None:
    rows = [Row(np.array([0]), np.array([1.0]), 1.0)]
    assert solve(columns([1.0], [1.0]), rows, time_limit_s=0.0) is None
