"""The compiled generation kernels against a plain oracle and against the machine that serves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.generation.fast import Generated, generate, is_plain
from simulator.generation.reference import generate as generate_by_machine
from tests.simulator.generation_oracle import Oracle, follow, prefix_of
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.outcomes import FATE_CODE
from vocabulary.request import Fate
from vocabulary.trace import Tokens

TIMES = StepTimes(0.5, 0.25, 0.0625)
COUNTS = (
    "num_steps",
    "num_tokens",
    "num_preempted",
    "num_recomputed",
    "num_hit",
    "peak_pages",
    "peak_sequences",
)

limits_drawn = st.builds(
    GenerationLimits,
    num_pages=st.integers(1, 12),
    page_tokens=st.integers(1, 5),
    max_batched_tokens=st.integers(1, 24),
    max_sequences=st.integers(1, 5),
    is_chunked=st.booleans(),
    reserves_output=st.booleans(),
    has_prefix_cache=st.booleans(),
)
plain_limits_drawn = st.builds(
    GenerationLimits,
    num_pages=st.integers(1, 30),
    page_tokens=st.integers(1, 5),
    max_batched_tokens=st.integers(5, 24),
    max_sequences=st.integers(1, 5),
    is_chunked=st.booleans(),
    reserves_output=st.just(True),
)
# Sixteenths add up without rounding, so that equal times are equal however they were added.
ticks_drawn = st.sampled_from([0.0, 0.0625, 0.5, 1.0])
tied_times_drawn = st.builds(StepTimes, ticks_drawn, ticks_drawn, ticks_drawn)
seconds_drawn = st.floats(1e-4, 0.1)
odd_times_drawn = st.builds(StepTimes, seconds_drawn, seconds_drawn, seconds_drawn)


@st.composite
def tokens_drawn(draw: st.DrawFn) -> Tokens:
    """Prompts are paths of a small tree of blocks, so that some begin alike; hashes repeat elsewhere."""
    paths = draw(st.lists(st.lists(st.integers(0, 1), max_size=4), min_size=1, max_size=12))
    block_tokens = draw(st.integers(1, 6))
    hashes = [hash(tuple(path[: depth + 1])) % 50 for path in paths for depth in range(len(path))]
    offsets = np.concatenate([[0], np.cumsum([len(path) for path in paths])])
    spare = draw(st.lists(st.integers(-2, 6), min_size=len(paths), max_size=len(paths)))
    answers = draw(st.lists(st.integers(0, 9), min_size=len(paths), max_size=len(paths)))
    inputs = [max(len(path) * block_tokens + more, 0) for path, more in zip(paths, spare, strict=True)]
    columns = np.array(inputs, np.int32), np.array(answers, np.int32)
    return Tokens(*columns, offsets.astype(np.int64), np.array(hashes, np.int64), block_tokens)


@st.composite
def tied_arrivals_drawn(draw: st.DrawFn, num_requests: int) -> list[float]:
    gaps = draw(st.lists(st.integers(0, 60), min_size=num_requests, max_size=num_requests))
    return (np.cumsum(gaps) / 16).tolist()


@st.composite
def odd_arrivals_drawn(draw: st.DrawFn, num_requests: int) -> list[float]:
    seed = draw(st.integers(0, 2**32))
    return np.cumsum(np.random.default_rng(seed).exponential(0.2, num_requests)).tolist()


def tokens_of(*lengths: tuple[int, int]) -> Tokens:
    inputs, outputs = zip(*lengths, strict=True)
    return Tokens(np.array(inputs, np.int32), np.array(outputs, np.int32))


def assert_same(found: Generated, oracle: Oracle, *, tolerance_s: float = 0.0) -> None:
    fates = [FATE_CODE[Fate.INVALID if refused else Fate.SERVED] for refused in oracle.is_refused]
    np.testing.assert_array_equal(found.fate, fates)
    np.testing.assert_allclose(found.finish_s, oracle.finish_s, rtol=0, atol=tolerance_s)
    np.testing.assert_allclose(found.first_token_s, oracle.first_token_s, rtol=0, atol=tolerance_s)
    for name in COUNTS:
        assert getattr(found.counts, name) == getattr(oracle, name), name
    assert np.all(np.isnan(found.finish_s) == ~found.served)


@settings(max_examples=600, deadline=None)
@given(st.data(), tokens_drawn(), tied_times_drawn, limits_drawn)
def test_tied_times_and_few_pages_give_what_the_oracle_gives(data, tokens, times, limits) -> None:
    arrivals = data.draw(tied_arrivals_drawn(len(tokens.input_tokens)))
    found = generate(np.array(arrivals), tokens, times=times, limits=limits)
    assert_same(found, follow(arrivals, tokens, times=times, limits=limits))


@settings(max_examples=300, deadline=None)
@given(st.data(), tokens_drawn(), odd_times_drawn, limits_drawn)
def test_the_kernel_of_pages_is_equal_to_the_last_bit(data, tokens, times, limits) -> None:
    arrivals = data.draw(odd_arrivals_drawn(len(tokens.input_tokens)))
    found = generate(np.array(arrivals), tokens, times=times, limits=limits, tolerance_s=0.0)
    assert_same(found, follow(arrivals, tokens, times=times, limits=limits))


@settings(max_examples=400, deadline=None)
@given(st.data(), tokens_drawn(), tied_times_drawn, plain_limits_drawn, st.sampled_from([0.0, 5e-7]))
def test_the_closed_form_sees_an_arrival_at_the_end_of_a_step_in_the_next(
    data, tokens, times, limits, tolerance_s
) -> None:
    assert is_plain(limits)
    arrivals = data.draw(tied_arrivals_drawn(len(tokens.input_tokens)))
    found = generate(np.array(arrivals), tokens, times=times, limits=limits, tolerance_s=tolerance_s)
    assert_same(found, follow(arrivals, tokens, times=times, limits=limits))


@settings(max_examples=300, deadline=None)
@given(st.data(), tokens_drawn(), odd_times_drawn, plain_limits_drawn)
def test_the_closed_form_differs_by_rounding_only(data, tokens, times, limits) -> None:
    arrivals = data.draw(odd_arrivals_drawn(len(tokens.input_tokens)))
    found = generate(np.array(arrivals), tokens, times=times, limits=limits)
    assert_same(found, follow(arrivals, tokens, times=times, limits=limits), tolerance_s=1e-6)


@settings(max_examples=300, deadline=None)
@given(st.data(), tokens_drawn(), st.integers(1, 3), plain_limits_drawn)
def test_rounding_does_not_decide_who_arrived_before_a_step(data, tokens, tenths, limits) -> None:
    # Tenths do not add up exactly; where a sum and an arrival meet but for rounding, the kernel adds as well.
    times = StepTimes(tenths / 10, 0.1, 0.0)
    gaps = data.draw(st.lists(st.integers(0, 9), min_size=12, max_size=12))
    arrivals = (np.cumsum(gaps)[: len(tokens.input_tokens)] / 10).tolist()
    found = generate(np.array(arrivals), tokens, times=times, limits=limits)
    assert_same(found, follow(arrivals, tokens, times=times, limits=limits), tolerance_s=1e-6)


@settings(max_examples=300, deadline=None)
@given(st.data(), tokens_drawn(), tied_times_drawn, limits_drawn)
def test_the_machine_that_serves_gives_the_same(data, tokens, times, limits) -> None:
    arrivals = data.draw(tied_arrivals_drawn(len(tokens.input_tokens)))
    found = generate(np.array(arrivals), tokens, times=times, limits=limits)
    prefixes = [prefix_of(tokens, index) for index in range(len(arrivals))]
    lengths = tokens.input_tokens, tokens.output_tokens
    machine = generate_by_machine(arrivals, *lengths, limits=limits, times=times, prefixes=prefixes)
    np.testing.assert_array_equal(found.finish_s, machine.finish_s)
    np.testing.assert_array_equal(found.first_token_s, machine.first_token_s)
    for name in ("num_steps", "num_tokens", "num_preempted", "num_recomputed", "num_hit"):
        assert getattr(found.counts, name) == getattr(machine.statistics, name), name


def test_a_decode_stretch_ends_at_the_step_that_sees_the_next_arrival() -> None:
    tokens, limits = tokens_of((4, 9), (4, 2)), GenerationLimits(99, page_tokens=4, reserves_output=True)
    times = StepTimes(1.0, 0.0)
    found = generate(np.array([0.0, 2.5]), tokens, times=times, limits=limits)
    assert found.first_token_s.tolist() == [1.0, 4.0]
    assert found.finish_s.tolist() == [9.0, 5.0]
    assert found.token_s(tokens).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("reserves_output", [True, False])
def test_a_request_larger_than_the_limits_is_refused_up_front(reserves_output: bool) -> None:
    # A prototype waited for ever for the pages of such a request.
    limits = GenerationLimits(num_pages=3, page_tokens=4, reserves_output=reserves_output)
    found = generate(np.zeros(3), tokens_of((8, 2), (9, 5), (1, 1)), times=TIMES, limits=limits)
    assert found.served.tolist() == [True, False, True]
    assert np.isnan(found.first_token_s).tolist() == [False, True, False]


@pytest.mark.parametrize("reserves_output", [True, False])
def test_only_requests_larger_than_the_limits_end_too(reserves_output: bool) -> None:
    limits = GenerationLimits(num_pages=1, page_tokens=4, reserves_output=reserves_output)
    found = generate(np.arange(5.0), tokens_of(*[(5, 1)] * 5), times=TIMES, limits=limits)
    assert not found.served.any()
    assert found.counts.num_steps == 0


@pytest.mark.parametrize("reserves_output", [True, False])
def test_a_prompt_longer_than_a_step_is_refused_where_prompts_are_not_chunked(reserves_output: bool) -> None:
    limits = GenerationLimits(
        99, max_batched_tokens=8, max_sequences=8, is_chunked=False, reserves_output=reserves_output
    )
    found = generate(np.zeros(2), tokens_of((9, 1), (8, 1)), times=TIMES, limits=limits)
    assert found.served.tolist() == [False, True]


@pytest.mark.parametrize("reserves_output", [True, False])
def test_one_page_one_sequence_and_no_output_tokens_end(reserves_output: bool) -> None:
    limits = GenerationLimits(
        1, page_tokens=4, max_batched_tokens=1, max_sequences=1, reserves_output=reserves_output
    )
    found = generate(np.zeros(3), tokens_of((0, 0), (4, 1), (1, 4)), times=TIMES, limits=limits)
    assert found.served.all()
    assert found.counts.num_tokens == 1 + 4 + 4
    assert found.counts.peak_pages == found.counts.peak_sequences == 1


@pytest.mark.parametrize("reserves_output", [True, False])
@pytest.mark.parametrize("times", [StepTimes(0, 0, 0), StepTimes(0, 0, 0.5), StepTimes(0, 0.5)])
def test_steps_that_take_no_time_end(times: StepTimes, reserves_output: bool) -> None:
    limits = GenerationLimits(9, page_tokens=4, max_sequences=2, reserves_output=reserves_output)
    arrivals, tokens = [0.0, 0.0, 0.25, 9.0], tokens_of((5, 9), (3, 7), (8, 3), (0, 0))
    found = generate(np.array(arrivals), tokens, times=times, limits=limits)
    assert_same(found, follow(arrivals, tokens, times=times, limits=limits))


@pytest.mark.parametrize("reserves_output", [True, False])
def test_nobody_asks(reserves_output: bool) -> None:
    nothing = np.zeros(0, np.int32)
    limits = GenerationLimits(9, reserves_output=reserves_output, has_prefix_cache=not reserves_output)
    found = generate(np.zeros(0), Tokens(nothing, nothing), times=TIMES, limits=limits)
    assert len(found.finish_s) == found.counts.num_steps == 0


def test_a_page_larger_than_memory_is_one_page_for_each_sequence() -> None:
    limits = GenerationLimits(2, page_tokens=1 << 60)
    found = generate(np.zeros(3), tokens_of(*[(9, 9)] * 3), times=TIMES, limits=limits)
    assert (found.counts.peak_pages, found.counts.peak_sequences) == (2, 2)


CROWDED = {
    "plain": GenerationLimits(2000, reserves_output=True),
    "not chunked": GenerationLimits(2000, reserves_output=True, is_chunked=False),
    "preempting": GenerationLimits(150),
    "small steps": GenerationLimits(40, max_batched_tokens=12, max_sequences=48),
    "prefixes": GenerationLimits(150, has_prefix_cache=True),
}


@pytest.mark.parametrize("kind", CROWDED)
def test_a_crowded_engine_gives_what_the_oracle_gives(kind: str) -> None:
    random, num_requests, num_blocks = np.random.default_rng(7), 1500, 3
    inputs, outputs = random.integers(1, 300, num_requests), random.integers(1, 120, num_requests)
    # Three blocks each: of eight first ones, then of four, then of four.
    path = np.cumsum(random.integers(0, [8, 4, 4], (num_requests, num_blocks)) * [1, 10, 100], axis=1)
    offsets = np.arange(num_requests + 1) * num_blocks
    tokens = Tokens(inputs.astype(np.int32), outputs.astype(np.int32), offsets, path.ravel(), block_tokens=64)
    arrivals = np.cumsum(random.gamma(0.3, 0.25, num_requests))
    times, limits = StepTimes(0.006, 5e-5, 4e-7), CROWDED[kind]
    found = generate(arrivals, tokens, times=times, limits=limits)
    oracle = follow(arrivals.tolist(), tokens, times=times, limits=limits)
    assert_same(found, oracle, tolerance_s=1e-6 if is_plain(limits) else 0.0)
    assert (found.counts.num_preempted > 50) == (not limits.reserves_output)
    assert (found.counts.num_hit > 0) == limits.has_prefix_cache
