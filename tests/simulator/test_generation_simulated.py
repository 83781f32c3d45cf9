"""Models that generate, under the schedulers that serve, on a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fast_or_events import outcomes_of
from simulator.generation.reference import generate
from simulator.simulate import simulate
from tests.simulator.generating_fleets import TIMES, fleet, generating, groups, one_shot, trace_of
from vocabulary.deployment import Slo
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits, Prefix, StepTimes
from vocabulary.outcomes import FATES, Outcomes
from vocabulary.request import Fate
from vocabulary.trace import Tokens, Trace

settings_drawn = st.fixed_dictionaries(
    {
        "num_pages": st.integers(1, 12),
        "page_tokens": st.integers(1, 4),
        "max_batched_tokens": st.integers(1, 24),
        "max_sequences": st.integers(1, 5),
        "is_chunked": st.booleans(),
        "reserves_output": st.booleans(),
        "has_prefix_cache": st.booleans(),
    }
)
# Quarter seconds after the one before, input tokens after its blocks, output tokens, blocks of the prompt.
rows_drawn = st.lists(
    st.tuples(
        st.integers(0, 12), st.integers(0, 8), st.integers(1, 9), st.lists(st.integers(0, 1), max_size=3)
    ),
    min_size=1,
    max_size=12,
)


def fates(outcomes: Outcomes) -> list[Fate]:
    return [FATES[code] for code in outcomes.fate]


@settings(deadline=None, max_examples=150)
@given(settings_drawn, rows_drawn)
def test_one_model_alone_is_the_machine_step_by_step(asked, rows) -> None:
    block_tokens = 3
    paths = [tuple(hash(tuple(path[: end + 1])) for end in range(len(path))) for *_, path in rows]
    arrivals = np.cumsum([gap / 4 for gap, *_ in rows])
    inputs = [len(path) * block_tokens + more for (_, more, _, _), path in zip(rows, paths, strict=True)]
    outputs = [output for _, _, output, _ in rows]
    tokens = Tokens(
        np.array(inputs, dtype=np.int32),
        np.array(outputs, dtype=np.int32),
        np.cumsum([0, *map(len, paths)]),
        np.array([block for path in paths for block in path], dtype=np.int64),
        block_tokens,
    )
    deployment = fleet(generating(**asked))
    trace = Trace(arrivals, np.zeros(len(rows), dtype=np.int32), ("chat",), tokens)
    outcomes = simulate(groups("chat"), trace, deployment=deployment)
    prefixes = [Prefix(path, block_tokens) for path in paths]
    limits = GenerationLimits(**asked)
    expected = generate(arrivals, inputs, outputs, limits=limits, times=TIMES, prefixes=prefixes)
    assert [fate is Fate.INVALID for fate in fates(outcomes)] == expected.refused.tolist()
    served = outcomes.served
    np.testing.assert_array_equal(outcomes.finish_s[served], expected.finish_s[served])
    np.testing.assert_array_equal(outcomes.first_token_s, expected.first_token_s)
    assert outcomes.generation == {"chat": expected.statistics}


def test_a_request_alone_takes_its_prompt_and_a_step_a_token() -> None:
    deployment = fleet(generating(), overhead_s=0.5)
    outcomes = simulate(groups("chat"), trace_of(deployment, ("chat", 1.0, 4, 3)), deployment=deployment)
    first_s = 1.0 + TIMES.of(4, 0) + 0.5
    assert outcomes.first_token_s.tolist() == [first_s]
    assert outcomes.finish_s.tolist() == [first_s + TIMES.of(1, 4) + TIMES.of(1, 5)]
    assert outcomes.tpot_s.tolist() == [(TIMES.of(1, 4) + TIMES.of(1, 5)) / 2]


def test_one_shot_requests_and_steps_take_turns_by_how_long_they_have_waited() -> None:
    deployment = fleet(generating(times=StepTimes(1.0, 0.0)), one_shot(latency_s=4.0))
    rows = (("chat", 0.0, 1, 3), ("embed", 0.5, 0, 0), ("embed", 0.75, 0, 0))
    outcomes = simulate(groups("chat embed"), trace_of(deployment, *rows), deployment=deployment)
    # The first step ends at 1; both one-shot requests have waited longer than the sequence.
    assert outcomes.finish_s.tolist() == [11.0, 5.0, 9.0]


def test_a_sequence_that_waited_longer_than_a_one_shot_request_goes_first() -> None:
    deployment = fleet(generating(times=StepTimes(1.0, 0.0)), one_shot(latency_s=4.0))
    rows = (("chat", 0.0, 1, 3), ("embed", 0.5, 0, 0), ("embed", 2.0, 0, 0))
    outcomes = simulate(groups("chat embed"), trace_of(deployment, *rows), deployment=deployment)
    # One shot from 1 to 5; the sequence waits since 1, the other since 2; then from 6 to 10.
    assert outcomes.finish_s.tolist() == [11.0, 5.0, 10.0]


def test_two_generating_models_take_turns() -> None:
    deployment = fleet(generating("a", times=StepTimes(1.0, 0.0)), generating("b", times=StepTimes(2.0, 0.0)))
    rows = (("a", 0.0, 1, 3), ("b", 0.0, 1, 2))
    outcomes = simulate(groups("a b"), trace_of(deployment, *rows), deployment=deployment)
    assert outcomes.first_token_s.tolist() == [1.0, 3.0]
    assert outcomes.finish_s.tolist() == [7.0, 6.0]


def test_steps_overlap_in_a_pipeline() -> None:
    deployment = fleet(generating(times=StepTimes(1.0, 0.0)))
    rows = (("chat", 0.0, 1, 3), ("chat", 0.0, 1, 3))
    outcomes = simulate(groups("chat", num_stages=2), trace_of(deployment, *rows), deployment=deployment)
    # The prompts share a step; then each has steps of its own, one behind the other.
    assert outcomes.first_token_s.tolist() == [2.0, 2.0]
    assert outcomes.finish_s.tolist() == [6.0, 7.0]


def test_good_is_what_keeps_every_objective_of_its_model() -> None:
    rows = (("chat", 0.0, 4, 3),)
    latency_s, ttft_s = TIMES.of(4, 0) + TIMES.of(1, 4) + TIMES.of(1, 5), TIMES.of(4, 0)
    tpot_s = (latency_s - ttft_s) / 2
    for slo, is_good in (
        (Slo(latency_s, ttft_s=ttft_s, tpot_s=tpot_s), True),
        (Slo(ttft_s=ttft_s - 0.01), False),
        (Slo(tpot_s=tpot_s - 0.01), False),
        (Slo(latency_s - 0.01), False),
        (Slo(), True),
    ):
        deployment = fleet(generating(slo=slo))
        outcomes = simulate(groups("chat"), trace_of(deployment, *rows), deployment=deployment)
        assert outcomes.good.tolist() == [is_good], slo


def test_a_single_token_has_no_pace_to_miss() -> None:
    deployment = fleet(generating(slo=Slo(tpot_s=0.001)))
    outcomes = simulate(groups("chat"), trace_of(deployment, ("chat", 0.0, 4, 1)), deployment=deployment)
    assert outcomes.good.all()
    assert np.isnan(outcomes.tpot_s).all()


def test_a_request_larger_than_every_group_is_refused_and_others_go_on() -> None:
    deployment = fleet(generating(num_pages=4))
    rows = (("chat", 0.0, 17, 1), ("chat", 0.0, 4, 2))
    outcomes = simulate(groups("chat", "chat"), trace_of(deployment, *rows), deployment=deployment)
    assert fates(outcomes) == [Fate.INVALID, Fate.SERVED]


def test_admission_refuses_what_would_miss_its_first_token_or_its_pace() -> None:
    alone_s = TIMES.of(4, 0)
    for slo in (Slo(ttft_s=alone_s - 0.01), Slo(tpot_s=TIMES.of(1, 4) - 0.01), Slo(latency_s=alone_s)):
        deployment = fleet(generating(slo=slo), admission="slo")
        outcomes = simulate(groups("chat"), trace_of(deployment, ("chat", 0.0, 4, 2)), deployment=deployment)
        assert fates(outcomes) == [Fate.SLO_INFEASIBLE], slo
    for slo in (Slo(ttft_s=alone_s), Slo(tpot_s=TIMES.of(1, 4)), Slo(latency_s=alone_s + TIMES.of(1, 4))):
        deployment = fleet(generating(slo=slo), admission="slo")
        outcomes = simulate(groups("chat"), trace_of(deployment, ("chat", 0.0, 4, 2)), deployment=deployment)
        assert outcomes.good.tolist() == [True], slo


def test_with_admission_an_overload_is_refused_and_what_is_taken_is_mostly_good() -> None:
    slo = Slo(ttft_s=8.0, tpot_s=4.0)
    rows = [("chat", index / 4, 8, 8) for index in range(400)]
    share_good = {}
    for admission in ("none", "slo"):
        deployment = fleet(generating(slo=slo), admission=admission)
        outcomes = simulate(groups("chat"), trace_of(deployment, *rows), deployment=deployment)
        share_good[admission] = outcomes.good.sum() / outcomes.served.sum()
    assert share_good["none"] < 0.1
    assert share_good["slo"] > 0.8


def test_the_group_with_less_ahead_of_it_is_chosen() -> None:
    deployment = fleet(generating())
    rows = (("chat", 0.0, 16, 50), ("chat", 0.125, 4, 4), ("chat", 0.25, 4, 4))
    outcomes = simulate(groups("chat", "chat"), trace_of(deployment, *rows), deployment=deployment)
    assert outcomes.group_index.tolist() == [0, 1, 1]


def test_without_step_times_a_model_is_not_asked_for_tokens() -> None:
    deployment = fleet(one_shot())
    trace = trace_of(deployment, ("embed", 0.0, 4, 2))
    with pytest.raises(InvalidInput, match="asks embed for output tokens"):
        outcomes_of(groups("embed"), trace, deployment=deployment)


def test_requests_without_output_tokens_are_one_shot() -> None:
    deployment = fleet(generating())
    trace = trace_of(deployment, ("chat", 0.0, 4, 0))
    for engine in ("fast", "events"):
        outcomes = outcomes_of(groups("chat"), trace, deployment=deployment, engine=engine)
        assert outcomes.finish_s.tolist() == [1.0]
        assert outcomes.first_token_s is None


def test_the_compiled_scorer_does_not_answer_token_by_token() -> None:
    deployment = fleet(generating())
    trace = trace_of(deployment, ("chat", 0.0, 4, 2))
    assert outcomes_of(groups("chat"), trace, deployment=deployment).first_token_s is not None
    with pytest.raises(InvalidInput, match="asks for output tokens"):
        outcomes_of(groups("chat"), trace, deployment=deployment, engine="fast")


POLICIES = st.fixed_dictionaries(
    {
        "router": st.sampled_from(
            ["round_robin", "least_loaded", "min_stage_clock", "shortest_expected_delay"]
        ),
        "queue": st.sampled_from(["fcfs", "edf"]),
        "admission": st.sampled_from(["none", "slo"]),
        "batching": st.sampled_from(["none", "deadline"]),
    }
)


@settings(deadline=None, max_examples=150)
@given(
    settings_drawn,
    settings_drawn,
    st.integers(1, 3),
    POLICIES,
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 6), st.integers(0, 20), st.integers(0, 6)),
        max_size=20,
    ),
    st.sampled_from([Slo(), Slo(ttft_s=20.0, tpot_s=4.0), Slo(latency_s=15.0)]),
)
def test_in_any_fleet_every_request_ends_once_and_its_tokens_come_in_order(
    first, second, num_stages, policy, rows, slo
) -> None:
    stages = (1, 2, 3)
    models = (
        generating("a", slo=slo, stages=stages, **first),
        generating("b", slo=slo, stages=stages, **second),
    )
    deployment = fleet(*models, **policy)
    arrivals = np.cumsum([gap / 4 for _, gap, _, _ in rows])
    asked = [
        (model, time_s, num_input, num_output)
        for (model, _, num_input, num_output), time_s in zip(rows, arrivals.tolist(), strict=True)
    ]
    placement = groups("a b", "a", num_stages=num_stages)
    outcomes = simulate(placement, trace_of(deployment, *asked), deployment=deployment)
    generates = outcomes.trace.tokens.output_tokens > 0
    can_run = np.array(
        [
            num_output == 0
            or GenerationLimits(**(first if model == "a" else second)).can_ever_run(n, num_output)
            for model, _, n, num_output in asked
        ],
        dtype=bool,
    )
    refused = np.array([fate is Fate.INVALID for fate in fates(outcomes)], dtype=bool)
    np.testing.assert_array_equal(refused, ~can_run)
    if policy["admission"] == "none":
        np.testing.assert_array_equal(outcomes.served, can_run)
    if outcomes.first_token_s is not None:
        served = outcomes.served & generates
        assert np.all(outcomes.ttft_s[served] > 0)
        assert np.all(outcomes.first_token_s[served] <= outcomes.finish_s[served])
        emitted = sum(one.num_emitted for one in outcomes.generation.values())
        assert emitted == outcomes.trace.tokens.output_tokens[served].sum()
