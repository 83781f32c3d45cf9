"""What is fitted to a trace is what it was drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.traffic.fit_traffic import fit_traffic, lengths
from simulator.traffic.processes import Diurnal, generate_processes, sine_weights
from simulator.traffic.workload import generate, power_law
from vocabulary.deployment import Workload
from vocabulary.trace import Tokens, Trace


@settings(deadline=None, max_examples=25)
@given(rate_rps=st.floats(0.5, 20), cv=st.floats(0.2, 6), seed=st.integers(0, 1000))
def test_a_fit_recovers_the_workload(rate_rps: float, cv: float, seed: int) -> None:
    number = 20_000
    drawn = generate({"a": Workload(rate_rps, cv)}, duration_s=number / rate_rps, seed=seed)
    fit = fit_traffic(drawn).models["a"].workload
    # A rate spreads by cv / sqrt(n), and starting at an arrival adds cv^2 / 2 of them; five of the former.
    assert fit.rate_rps == pytest.approx(rate_rps, rel=5 * cv / np.sqrt(number) + cv**2 / number + 1e-3)
    # The likelihood's curvature: the CV of bursty gaps spreads by 1 / sqrt(n), of even ones by 1 / sqrt(2 n).
    assert fit.cv == pytest.approx(cv, rel=0.05)


def test_the_popularity_of_models_is_recovered() -> None:
    rates = power_law(30, total_rps=100.0, exponent=0.8)
    workloads = {str(index): Workload(rate) for index, rate in enumerate(rates)}
    fit = fit_traffic(generate(workloads, duration_s=500.0, seed=1))
    assert fit.exponent == pytest.approx(0.8, abs=0.03)


def test_a_drift_is_not_burstiness_within_windows() -> None:
    process = Diurnal(10.0, sine_weights(0.9), period_s=6000.0)
    trace = generate_processes({"a": process}, duration_s=12_000.0, seed=1)
    whole, windowed = (
        fit_traffic(trace, window_s=60.0, is_windowed=flag).models["a"] for flag in (False, True)
    )
    assert windowed.cv == pytest.approx(1.0, abs=0.03)
    assert whole.cv is not None
    assert whole.cv > 1.15
    assert whole.dispersion is not None
    assert whole.dispersion > 50


def test_a_model_asked_once_is_poisson_for_want_of_more() -> None:
    trace = Trace(np.array([0.0, 1.0, 2.0, 4.0]), np.array([0, 0, 0, 1], np.int32), ("a", "b", "never"))
    fits = fit_traffic(trace, window_s=60.0).models
    assert list(fits) == ["a", "b"]
    assert fits["b"].workload == Workload(0.25, 1.0)
    assert fits["b"].dispersion is None


def test_lengths_are_those_of_the_model() -> None:
    tokens = Tokens(np.arange(1, 101, dtype=np.int32), np.zeros(100, np.int32))
    trace = Trace(np.arange(100.0), (np.arange(100) % 2).astype(np.int32), ("a", "b"), tokens)
    fit = fit_traffic(trace).models["b"]
    assert fit.input_tokens is not None
    assert (fit.input_tokens.mean, fit.input_tokens.max) == (51.0, 100)
    assert fit.output_tokens is None
    assert lengths(np.array([], np.int32)) is None
