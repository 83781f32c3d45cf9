"""Arrivals drawn anew: rates, burstiness, tokens, and what the published method does differently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.traffic.gamma_fit import fit_shape
from simulator.traffic.generators import generator
from simulator.traffic.resample import Scales, arrivals_of_counts, resampled
from simulator.traffic.windows import Method, fitted_windows, pieces
from simulator.traffic.workload import generate
from tests.simulator.digests import digest
from vocabulary.burstiness import windows_of
from vocabulary.deployment import Workload
from vocabulary.errors import InvalidInput
from vocabulary.trace import Tokens, Trace

TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
TWO = generate({"calm": Workload(5.0, 1.0), "bursty": Workload(3.0, 4.0)}, duration_s=6000.0, seed=1)


def cv_of(trace: Trace, model_index: int) -> float:
    shape = fit_shape(np.diff(trace.arrival_s[trace.model_index == model_index]))
    assert shape is not None
    return shape**-0.5


def with_tokens(trace: Trace) -> Trace:
    """Input tokens are the row's number, and one prefix hash is too."""
    numbers = np.arange(len(trace), dtype=np.int32)
    tokens = Tokens(numbers, numbers % 7, np.arange(len(trace) + 1), numbers.astype(np.int64), 16)
    return Trace(trace.arrival_s, trace.model_index, trace.models, tokens)


@pytest.mark.parametrize("rate_scale", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("cv_scale", [0.5, 1.0, 2.0])
def test_rates_and_burstiness_are_scaled(rate_scale: float, cv_scale: float) -> None:
    drawn = resampled(TWO, scales=Scales(rate_scale, cv_scale), seed=3)
    for index, cv in enumerate((1.0, 4.0)):
        number = TWO.counts()[index]
        # A count of n gaps spreads by cv * sqrt(n); four of those.
        spread = 4 * cv * cv_scale * np.sqrt(number * rate_scale)
        assert drawn.counts()[index] == pytest.approx(number * rate_scale, abs=spread)
        assert cv_of(drawn, index) == pytest.approx(cv * cv_scale, rel=0.08)


@settings(deadline=None, max_examples=40)
@given(
    rates=st.lists(st.floats(0.05, 5), min_size=1, max_size=3),
    cv=st.floats(0.3, 4),
    scales=st.builds(Scales, st.floats(0, 3), st.floats(0, 3)),
    window_s=st.floats(1, 500),
    method=st.sampled_from(Method),
    seed=st.integers(0, 1000),
)
def test_draws_are_in_order_within_the_time_and_the_same_again(
    rates: list[float], cv: float, scales: Scales, window_s: float, method: Method, seed: int
) -> None:
    workloads = {str(index): Workload(rate, cv) for index, rate in enumerate(rates)}
    trace = generate(workloads, duration_s=200.0, seed=seed)
    first, again = (
        resampled(trace, scales=scales, window_s=window_s, seed=seed, method=method) for _ in range(2)
    )
    assert first.models == trace.models
    assert digest(first) == digest(again)
    if len(first):
        # To the nanosecond that arrivals are rounded to.
        assert trace.arrival_s[0] - 1e-9 <= first.arrival_s[0]
        assert first.arrival_s[-1] <= trace.arrival_s[-1] + 1e-9


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 100), st.floats(0.3, 3))
def test_a_models_arrivals_do_not_depend_on_the_other_models(seed: int, rate_scale: float) -> None:
    # The others share its time, as they do in a trace.
    edges = np.array([0.0, 100.0])
    calm = np.sort(generator(seed).random(50)) * 100
    alone = Trace(np.sort(np.append(edges, calm)), np.zeros(52, np.int32), ("a",))
    more_s = np.concatenate([alone.arrival_s, calm / 2])
    order = np.argsort(more_s, kind="stable")
    both = Trace(more_s[order], np.repeat([0, 1], [52, 50]).astype(np.int32)[order], ("a", "b"))
    one, two = (
        resampled(trace, scales=Scales(rate_scale), window_s=20, seed=seed) for trace in (alone, both)
    )
    np.testing.assert_array_equal(two.arrival_s[two.model_index == 0], one.arrival_s)


def test_one_seed_gives_one_trace_on_any_machine() -> None:
    drawn = resampled(with_tokens(TWO), scales=Scales(1.5, 2.0), seed=7)
    assert digest(drawn) == "572156bfa7c038eb"
    counts = np.arange(24).reshape(2, 12) % 7
    assert digest(arrivals_of_counts(counts, models=("a", "b"), cv=3.0, seed=7)) == "7b4789801228b99b"


def test_ticks_of_a_coarse_clock_are_not_bursts() -> None:
    calm = generate({"a": Workload(5.0)}, duration_s=3000.0, seed=1)
    ticking = Trace(np.floor(calm.arrival_s / 3) * 3, calm.model_index, calm.models)
    drawn = resampled(ticking, window_s=100.0)
    assert cv_of(drawn, 0) == pytest.approx(1.0, abs=0.05)
    assert len(drawn) == pytest.approx(len(calm), abs=4 * np.sqrt(len(calm)))


def test_seeds_share_nothing() -> None:
    first, second = (resampled(TWO, seed=seed) for seed in (0, 1))
    assert not np.isin(first.arrival_s, second.arrival_s).any()


def test_a_higher_rate_stretches_the_same_draws() -> None:
    counts = np.array([[50]])
    slow, fast = (
        arrivals_of_counts(counts, models=("a",), rate_scale=scale).arrival_s for scale in (1.0, 2.0)
    )
    np.testing.assert_allclose(fast[: len(slow) // 2], slow[: len(slow) // 2] / 2, atol=1e-6)


def test_a_rate_that_drifts_is_followed() -> None:
    quiet, busy = (generate({"a": Workload(rate)}, duration_s=1000.0, seed=1) for rate in (1.0, 20.0))
    arrival_s = np.concatenate([quiet.arrival_s, 1000 + busy.arrival_s])
    drawn = resampled(Trace(arrival_s, np.zeros(len(arrival_s), np.int32), ("a",)), window_s=500.0)
    share = np.mean(drawn.arrival_s < 1000)
    assert share == pytest.approx(len(quiet) / len(arrival_s), rel=0.2)


def test_fewer_arrivals_take_evenly_spread_requests_of_their_window() -> None:
    arrival_s = np.arange(100) / 1.0
    trace = with_tokens(Trace(arrival_s, np.zeros(100, np.int32), ("a",)))
    tokens = resampled(trace, scales=Scales(0.5), window_s=50.0).tokens
    assert tokens is not None
    assert len(tokens.input_tokens) == pytest.approx(50, abs=2)
    assert np.all(np.diff(tokens.input_tokens) >= 1)
    assert tokens.input_tokens.max() > 95
    np.testing.assert_array_equal(tokens.prefix_hashes, tokens.input_tokens)


def test_more_arrivals_repeat_requests_as_those_of_other_users() -> None:
    arrival_s = np.arange(100) / 1.0
    trace = with_tokens(Trace(arrival_s, np.zeros(100, np.int32), ("a",)))
    tokens = resampled(trace, scales=Scales(3.0), window_s=100.0).tokens
    assert tokens is not None
    assert tokens.prefix_hashes is not None
    assert np.bincount(tokens.input_tokens).max() >= 3
    assert len(np.unique(tokens.prefix_hashes)) == len(tokens.prefix_hashes)
    assert tokens.prefix_hashes.min() >= 0
    np.testing.assert_array_equal(tokens.output_tokens, tokens.input_tokens % 7)


def test_every_model_keeps_its_own_lengths() -> None:
    drawn = resampled(with_tokens(TWO), scales=Scales(2.0))
    assert drawn.tokens is not None
    np.testing.assert_array_equal(TWO.model_index[drawn.tokens.input_tokens], drawn.model_index)


def test_counts_become_arrivals_of_their_windows() -> None:
    counts = np.array([[600, 0, 1200], [0, 0, 60]])
    trace = arrivals_of_counts(counts, models=("a", "b"), window_s=60.0, rate_scale=2.0, seed=1)
    drawn = [
        np.bincount((trace.arrival_s[trace.model_index == index] // 60).astype(int), minlength=3)
        for index in (0, 1)
    ]
    # Poisson counts; four standard deviations.
    np.testing.assert_allclose(drawn, 2 * counts, atol=4 * np.sqrt(2400))
    assert drawn[0][1] == drawn[1][0] == drawn[1][1] == 0


def test_at_a_high_cv_the_published_method_draws_more_than_it_was_asked_for() -> None:
    counts = np.full((1, 2000), 30)
    asked = counts.sum()
    unbiased, published = (
        len(arrivals_of_counts(counts, models=("a",), cv=4.0, method=method)) for method in Method
    )
    # A window's count spreads by 4 * sqrt(30) = 22, their sum by 980; three of those.
    assert unbiased == pytest.approx(asked, abs=3000)
    # (CV^2 - 1) / 2 = 7.5 more a window, in a long window.
    assert published > 1.15 * asked


def test_the_published_fit_takes_gaps_for_longer_than_they_are() -> None:
    drawn = resampled(TWO, method=Method.PUBLISHED, window_s=5400.0)
    assert cv_of(drawn, 1) == pytest.approx(3.0, abs=0.2)


def test_the_published_method_drops_windows_of_two_and_resets_rates_of_bursts() -> None:
    arrival_s = np.array([0.0, 0.5, 101.0, 101.1, 101.2, 300.0, 399.0, 400.0])
    trace = Trace(arrival_s, np.zeros(8, np.int32), ("a",))
    cut = pieces(trace, 100.0)
    windows = list(fitted_windows(arrival_s, cut, Method.PUBLISHED))
    # The second window's gaps say 10 requests/s, 300 times its rate; the last one's 1 in 50 s.
    assert [(window.index, round(window.rate_rps, 3)) for window in windows] == [(1, 0.03), (3, 0.02)]
    assert [window.index for window in fitted_windows(arrival_s, cut, Method.UNBIASED)] == [0, 1, 3]


def test_wrong_numbers_are_refused_with_a_remedy() -> None:
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput):
            Scales(rate=wrong)
    with pytest.raises(InvalidInput):
        resampled(TWO, window_s=0.0)
    with pytest.raises(InvalidInput):
        arrivals_of_counts(np.array([[-1]]), models=("a",))


def test_real_counts_keep_their_number_of_requests() -> None:
    path = TRACES / "maf1_invitro_1000fn_day" / "invocations_per_minute_long.parquet"
    if not path.exists():
        pytest.skip(f"no {path}: the sampled day of Azure Functions 2019 is not here")
    table = pyarrow.parquet.read_table(path)
    counts = np.zeros((20, 1440), dtype=np.int64)
    np.add.at(counts, (table["func"].to_numpy() % 20, table["minute"].to_numpy()), table["count"].to_numpy())
    trace = arrivals_of_counts(counts, models=tuple(map(str, range(20))), rate_scale=0.02, cv=2.0)
    # The sum of counts spreads by cv * sqrt(count); four of those.
    assert len(trace) == pytest.approx(0.02 * counts.sum(), abs=8 * np.sqrt(0.02 * counts.sum()))


@pytest.mark.parametrize(
    ("name", "most"),
    # Dispersion in 60 s, drawn by observed: the code trace loses a fifth, bursts shorter than a window.
    [("azure_llm_2023/conv", 1.3), ("azure_llm_2023/code", 1.1), ("mooncake_fast25/conversation_trace", 1.5)],
)
def test_real_bursts_survive(name: str, most: float) -> None:
    path = TRACES / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"no {path}: this real trace is not here")
    arrival_s = np.sort(pyarrow.parquet.read_table(path)["t"].to_numpy())
    trace = Trace(arrival_s, np.zeros(len(arrival_s), np.int32), ("a",))
    spreads = []
    for one in (trace, resampled(trace)):
        counted = windows_of(one, window_s=60.0)
        assert counted is not None
        assert counted.dispersion is not None
        spreads.append(counted.dispersion)
    assert 0.7 < spreads[1] / spreads[0] < most


def test_real_lengths_come_along() -> None:
    path = TRACES / "azure_llm_2023" / "conv.parquet"
    if not path.exists():
        pytest.skip(f"no {path}: the Azure LLM trace of 2023 is not here")
    table = pyarrow.parquet.read_table(path)
    columns = [table[name].to_numpy().astype(np.int32) for name in ("input_tokens", "output_tokens")]
    trace = Trace(table["t"].to_numpy(), np.zeros(len(table), np.int32), ("conv",), Tokens(*columns))
    drawn = resampled(trace, scales=Scales(1.5), window_s=300.0)
    assert drawn.tokens is not None
    assert len(drawn) == pytest.approx(1.5 * len(trace), rel=0.05)
    quantiles = [
        np.quantile(one.tokens.input_tokens, [0.1, 0.5, 0.9]) for one in (trace, drawn) if one.tokens
    ]
    np.testing.assert_allclose(quantiles[1], quantiles[0], rtol=0.05)
