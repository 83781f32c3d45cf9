"""Processes whose rate changes: their rates, their burstiness, and that a seed is a trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.traffic.generators import generator
from simulator.traffic.processes import (
    Diurnal,
    Mmpp,
    OnOff,
    Process,
    generate_processes,
    process_arrivals_s,
    sine_weights,
)
from tests.simulator.digests import digest
from vocabulary.burstiness import windows
from vocabulary.deployment import Workload

HOURS = (1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 3, 2, 2, 1, 1)
PROCESSES: dict[str, Process] = {
    "gamma": Workload(5.0, cv=4.0),
    "mmpp": Mmpp((1.0, 20.0), (50.0, 5.0)),
    "three-states": Mmpp((1.0, 20.0, 0.0), (50.0, 5.0, 10.0)),
    "onoff": OnOff(5.0, num_clients=4, cv=2.0),
    "sine": Diurnal(5.0, sine_weights(0.8), period_s=600.0),
    "hours": Diurnal(5.0, tuple(map(float, HOURS)), period_s=600.0, cv=2.0),
}
GOLDEN = {
    "gamma": "e0b5d30aaeb2b2c7",
    "mmpp": "c0f3a707b724931d",
    "three-states": "d566de30c1b8f3df",
    "onoff": "d4c4d59dbec6050d",
    "sine": "a8a46029ce1262b9",
    "hours": "a4d1b56e9b1c7b9b",
}


def arrivals_s(process: Process, *, duration_s: float, seed: int = 1) -> np.ndarray:
    return process_arrivals_s(process, duration_s=duration_s, rng=generator(seed, 0))


def dispersion(times_s: np.ndarray, *, duration_s: float, window_s: float) -> float:
    counted = windows(times_s, window_s=window_s, start_s=0.0, duration_s=duration_s)
    assert counted is not None
    assert counted.dispersion is not None
    return counted.dispersion


@pytest.mark.parametrize("name", PROCESSES)
def test_one_seed_gives_one_trace_on_any_machine(name: str) -> None:
    assert digest(generate_processes({name: PROCESSES[name]}, duration_s=300.0, seed=7)) == GOLDEN[name]


@pytest.mark.parametrize("name", PROCESSES)
def test_the_rate_in_the_long_run_is_the_one_asked_for(name: str) -> None:
    process = PROCESSES[name]
    # Ten runs of 20,000 s; a run's rate spreads by at most sqrt(dispersion / count), here below 6 %.
    rates = [len(arrivals_s(process, duration_s=20_000.0, seed=seed)) / 20_000 for seed in range(10)]
    assert np.mean(rates) == pytest.approx(process.rate_rps, rel=0.06)


@settings(deadline=None, max_examples=60)
@given(
    process=st.one_of(
        st.builds(Workload, st.floats(0, 50), st.floats(0, 8)),
        st.builds(
            lambda rates, stays: Mmpp(tuple(rates), tuple(stays)),
            st.lists(st.floats(0, 50), min_size=3, max_size=3),
            st.lists(st.floats(0.1, 100), min_size=3, max_size=3),
        ),
        st.builds(
            OnOff, st.floats(0, 20), st.integers(1, 5), st.floats(1, 50), st.floats(0, 50), st.floats(0, 8)
        ),
        st.builds(
            lambda rate, weights, cv: Diurnal(rate, (1.0, *weights), period_s=30.0, cv=cv),
            st.floats(0, 20),
            st.lists(st.floats(0, 5), max_size=8),
            st.floats(0, 8),
        ),
    ),
    duration_s=st.floats(0.01, 200),
    seed=st.integers(0, 2**40),
)
def test_arrivals_are_in_order_within_the_time_and_whole_nanoseconds(
    process: Process, duration_s: float, seed: int
) -> None:
    times_s = arrivals_s(process, duration_s=duration_s, seed=seed)
    assert np.all(np.diff(times_s) >= 0)
    assert np.all((times_s >= 0) & (times_s < duration_s))
    np.testing.assert_array_equal(np.rint(times_s * 1e9) / 1e9, times_s)
    np.testing.assert_array_equal(times_s, arrivals_s(process, duration_s=duration_s, seed=seed))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(sorted(PROCESSES)), min_size=1, max_size=4), st.integers(0, 100))
def test_a_model_more_changes_no_others_arrivals(names: list[str], seed: int) -> None:
    some = {f"{index}": PROCESSES[name] for index, name in enumerate(names)}
    fewer = generate_processes(some, duration_s=60.0, seed=seed)
    more = generate_processes({**some, "more": PROCESSES["onoff"]}, duration_s=60.0, seed=seed)
    np.testing.assert_array_equal(more.arrival_s[more.model_index < len(some)], fewer.arrival_s)


def test_a_state_of_rate_zero_is_silent() -> None:
    times_s = arrivals_s(Mmpp((0.0, 10.0), (100.0, 100.0)), duration_s=20_000.0)
    # Half of the time; Poisson counts of 10 s windows are zero only then, or with odds of exp(-100).
    counted = windows(times_s, window_s=10.0, start_s=0.0, duration_s=20_000.0)
    assert counted is not None
    assert 0.3 < np.mean(counted.counts == 0) < 0.65


def test_states_make_counts_burstier_than_poisson() -> None:
    steady = arrivals_s(Workload(5.0, cv=1.0), duration_s=20_000.0)
    switching = arrivals_s(Mmpp((1.0, 20.0), (50.0, 5.0)), duration_s=20_000.0)
    assert dispersion(steady, duration_s=20_000.0, window_s=30.0) == pytest.approx(1.0, abs=0.2)
    assert dispersion(switching, duration_s=20_000.0, window_s=30.0) > 20


def test_clients_that_are_never_off_are_a_plain_process() -> None:
    times_s = arrivals_s(OnOff(5.0, num_clients=3, off_s=0.0), duration_s=20_000.0)
    gaps_s = np.diff(times_s)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1.0, abs=0.03)


def test_more_clients_are_smoother() -> None:
    few, many = (
        dispersion(arrivals_s(OnOff(5.0, clients), duration_s=20_000.0), duration_s=20_000.0, window_s=60.0)
        for clients in (2, 50)
    )
    assert few > 5 * many


def test_hours_of_a_day_have_their_weights() -> None:
    weights = (1.0, 3.0, 0.0, 4.0)
    times_s = arrivals_s(Diurnal(10.0, weights, period_s=400.0), duration_s=40_000.0)
    counts = np.bincount((times_s % 400 // 100).astype(int), minlength=4)
    # Poisson counts around 50,000, 150,000, 0 and 200,000; five standard deviations.
    np.testing.assert_allclose(counts, [50_000, 150_000, 0, 200_000], atol=5 * np.sqrt(200_000))


def test_a_wave_has_its_peak_where_it_was_asked_for() -> None:
    times_s = arrivals_s(Diurnal(10.0, sine_weights(1.0, peak=0.25), period_s=100.0), duration_s=40_000.0)
    counts = np.bincount((times_s % 100 // 10).astype(int), minlength=10)
    assert counts.argmax() == 2
    assert counts[7] < 0.1 * counts[2]
