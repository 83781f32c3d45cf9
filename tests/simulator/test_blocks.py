"""Traffic put together anew from blocks of a trace, and slices of a long one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.traffic.blocks import one_after_another, redrawn, slices
from simulator.traffic.workload import generate
from vocabulary.deployment import Workload
from vocabulary.trace import Trace

TRACE = generate({"a": Workload(8.0, 4.0), "b": Workload(2.0, 1.0)}, duration_s=200.0, seed=1)


def drawn(trace: Trace, seed: int, **choices: float) -> Trace:
    return redrawn(trace, np.random.default_rng(seed), **choices)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), block_s=st.sampled_from([0.5, 7.0, 20.0, 500.0]))
def test_redrawn_traffic_is_a_trace_as_long_as_the_given_one(seed: int, block_s: float) -> None:
    trace = drawn(TRACE, seed, block_s=block_s)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.arrival_s[0] >= 0
    assert trace.arrival_s[-1] <= TRACE.duration_s + block_s
    assert trace.models == TRACE.models


def test_every_request_is_as_likely_as_any_other_to_come() -> None:
    """So redrawn traffic has the rates of the trace, on average."""
    counts = np.mean([drawn(TRACE, seed).counts() for seed in range(400)], axis=0)
    assert counts == pytest.approx(TRACE.counts(), rel=0.05)


def test_bursts_stay_and_their_coincidence_goes() -> None:
    """Two models that always burst together do so no longer; each still comes in bursts."""
    starts = np.arange(10) * 20.0
    burst = np.concatenate([start + np.linspace(0, 1, 50) for start in starts])
    order = np.argsort(np.concatenate([burst, burst]), kind="stable")
    index = np.repeat(np.arange(2, dtype=np.int32), len(burst))[order]
    together = Trace(np.concatenate([burst, burst])[order], index, ("a", "b"))
    trace = drawn(together, 3, block_s=5.0)
    seconds = [np.unique(trace.arrival_s[trace.model_index == model].astype(int)) for model in (0, 1)]
    assert len(np.intersect1d(*seconds)) < min(map(len, seconds))
    assert max(map(len, seconds)) < 60


def test_blocks_come_from_nearby_only() -> None:
    """An hour of silence stays silent, as far as blocks reach."""
    arrival_s = np.concatenate([np.linspace(0, 1000, 2000), np.linspace(9000, 10000, 2000)])
    trace = drawn(Trace(arrival_s, np.zeros(4000, dtype=np.int32), ("a",)), 0, block_s=20.0, reach_s=300.0)
    assert not ((trace.arrival_s > 1400) & (trace.arrival_s < 8600)).any()


def test_a_trace_of_one_request_or_none_is_redrawn_too() -> None:
    none = Trace(np.empty(0), np.empty(0, dtype=np.int32), ("a",))
    assert len(drawn(none, 0)) == 0
    assert len(drawn(Trace(np.array([3.0]), np.zeros(1, dtype=np.int32), ("a",)), 0)) <= 2


def test_traces_one_after_another_are_far_apart() -> None:
    both = one_after_another([TRACE, TRACE], gap_s=50.0)
    assert len(both) == 2 * len(TRACE)
    assert np.diff(both.arrival_s).max() >= 50.0


def test_slices_are_stretches_spread_over_the_trace() -> None:
    part = slices(TRACE, num_requests=400, num_slices=4, gap_s=1000.0)
    assert len(part) == 400
    assert (np.diff(part.arrival_s) > 900).sum() == 3
    assert slices(TRACE, num_requests=10**6, num_slices=4, gap_s=1.0) is TRACE


def test_a_clock_that_does_not_begin_at_zero_gives_the_same_traffic() -> None:
    start_s = 2.0**30
    arrival_s = np.round(np.sort(np.random.default_rng(0).uniform(0, 300, 500)) * 1024) / 1024
    arrival_s[0] = 0.0
    here = Trace(arrival_s, np.zeros(500, dtype=np.int32), ("a",))
    there = Trace(arrival_s + start_s, here.model_index, ("a",))
    one, other = (redrawn(trace, np.random.default_rng(1)) for trace in (here, there))
    assert len(one) == len(other)
    assert np.allclose(one.arrival_s, other.arrival_s)


def test_a_gap_of_years_is_no_reason_for_more_blocks() -> None:
    sparse = Trace(np.array([0.0, 1.0, 3e9]), np.zeros(3, dtype=np.int32), ("a",))
    assert redrawn(sparse, np.random.default_rng(0)).duration_s <= 3e9
