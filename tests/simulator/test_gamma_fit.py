"""Gamma distributions fitted to gaps: against scipy, and where the clock hides what is short."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gamma

from simulator.traffic.gamma_fit import fit_shape, fit_shapes
from simulator.traffic.generators import generator


@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0, 30.0])
def test_without_short_gaps_it_is_the_maximum_likelihood_of_scipy(shape: float) -> None:
    gaps_s = generator(1).standard_gamma(shape, 2000) + 1e-6
    theirs, _, _ = gamma.fit(gaps_s, floc=0)
    # Both solve one equation; scipy stops at 1e-12, ours keeps nine digits.
    assert fit_shape(gaps_s) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.0, 4.0, 8.0])
def test_shapes_are_recovered_although_a_clock_tells_microseconds(cv: float) -> None:
    gaps_s = np.floor(generator(2).standard_gamma(cv**-2, 50_000) * cv**2 / 5 * 1e6) / 1e6
    shape = fit_shape(gaps_s)
    assert shape is not None
    # The estimator's own spread is below 1 % at 50,000 gaps; three of those.
    assert shape**-0.5 == pytest.approx(cv, rel=0.03)


def test_groups_are_fitted_as_if_alone() -> None:
    gaps_s = generator(3).standard_gamma(0.5, 100)
    group = np.arange(100) % 3
    alone = tuple(fit_shape(gaps_s[group == index]) for index in range(3))
    assert fit_shapes(gaps_s, group, 3) == alone


def test_too_few_gaps_have_no_shape() -> None:
    assert fit_shape(np.array([])) is None
    assert fit_shape(np.array([1.0])) is None
    assert fit_shape(np.zeros(5)) is None


def test_even_gaps_are_as_even_as_can_be_drawn() -> None:
    assert fit_shape(np.ones(10)) == pytest.approx(1e6)
