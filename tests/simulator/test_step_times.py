"""Step times fitted to measured steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.generation.step_times import MIN_ROWS, fit_step_times
from vocabulary.errors import InvalidInput
from vocabulary.generation import StepTimes

TRUE = StepTimes(0.008, 4e-5, 1.5e-7)


def steps(num_rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decoding and prompts, without noise."""
    random = np.random.default_rng(seed)
    num_tokens = np.round(2 ** random.uniform(0, 11, num_rows))
    num_kv_tokens = np.round(2 ** random.uniform(0, 17, num_rows))
    return num_tokens, num_kv_tokens, TRUE.of(num_tokens, num_kv_tokens)


def assert_close(found: StepTimes, *, tolerance: float) -> None:
    ratios = [
        found.constant_s / TRUE.constant_s, found.token_s / TRUE.token_s, found.kv_token_s / TRUE.kv_token_s
    ]  # fmt: skip
    assert np.allclose(ratios, 1.0, atol=tolerance), ratios


def test_steps_without_noise_give_the_times_that_made_them() -> None:
    fit = fit_step_times(*steps(64))
    assert_close(fit.times, tolerance=1e-6)
    assert fit.r2 > 1 - 1e-9
    assert fit.mape < 1e-6
    assert (fit.num_rows, fit.num_held_out) == (64, 16)


def test_noise_of_a_tenth_leaves_the_times_within_a_few_percent() -> None:
    num_tokens, num_kv_tokens, step_s = steps(2000)
    noisy_s = step_s * np.random.default_rng(1).lognormal(0.0, 0.1, len(step_s))
    fit = fit_step_times(num_tokens, num_kv_tokens, noisy_s)
    assert_close(fit.times, tolerance=0.05)
    assert fit.r2 > 0.95
    assert 0.05 < fit.mape < 0.12


def test_pauses_of_the_machine_do_not_bend_the_fit() -> None:
    num_tokens, num_kv_tokens, step_s = steps(400)
    random = np.random.default_rng(2)
    paused_s = step_s * random.lognormal(0.0, 0.02, len(step_s))
    paused_s[random.random(len(step_s)) < 0.1] += 0.5
    fit = fit_step_times(num_tokens, num_kv_tokens, paused_s)
    assert_close(fit.times, tolerance=0.05)
    # What the fit leaves unexplained is not hidden.
    assert fit.r2 < 0.5


def test_a_time_that_falls_with_tokens_is_never_fitted() -> None:
    num_tokens, num_kv_tokens, _ = steps(100)
    fit = fit_step_times(num_tokens, num_kv_tokens, 1.0 - 1e-4 * num_tokens)
    assert min(fit.times.constant_s, fit.times.token_s, fit.times.kv_token_s) == 0.0
    assert fit.times.token_s == 0.0


def test_the_same_rows_and_seed_give_the_same_fit() -> None:
    assert fit_step_times(*steps(50), seed=3) == fit_step_times(*steps(50), seed=3)


def test_rows_that_are_all_equal_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too much alike"):
        fit_step_times([128] * 40, [1000] * 40, [0.01] * 40)


def test_steps_without_cached_tokens_are_refused() -> None:
    num_tokens, num_kv_tokens, step_s = steps(40)
    with pytest.raises(InvalidInput, match="no cached tokens"):
        fit_step_times(num_tokens, 0 * num_kv_tokens, step_s)


def test_terms_that_grow_together_are_refused() -> None:
    num_tokens, _, step_s = steps(40)
    with pytest.raises(InvalidInput, match="told apart"):
        fit_step_times(num_tokens, 7 * num_tokens, step_s)


@pytest.mark.parametrize("row", [(-1, 0, 1.0), (1, -1, 1.0), (1, 1, 0.0), (1, 1, np.nan), (np.inf, 1, 1.0)])
def test_a_row_that_is_no_measurement_is_named(row: tuple[float, float, float]) -> None:
    columns = np.array([*zip(*steps(20), strict=True), row]).T
    with pytest.raises(InvalidInput) as caught:
        fit_step_times(*columns)
    assert caught.value.where == "row 21"


def test_too_few_rows_and_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="15 measured steps"):
        fit_step_times(*steps(2 * MIN_ROWS - 1))
    with pytest.raises(InvalidInput, match="columns of 2, 1 and 2 rows"):
        fit_step_times([1, 2], [1], [1.0, 2.0])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4096), st.integers(0, 10**6), st.floats(1e-6, 1e3)), min_size=16, max_size=60
    )
)
def test_whatever_is_measured_a_step_never_takes_negative_time(rows) -> None:
    try:
        fit = fit_step_times(*np.array(rows).T)
    except InvalidInput:
        return
    assert min(fit.times.constant_s, fit.times.token_s, fit.times.kv_token_s) >= 0.0
    assert np.isfinite([fit.r2, fit.mape]).all()
