"""Compiled fleets of generating models against the event simulator: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.generation.fast_fleet import may_meet_a_full_queue, score_generation, supports_generation
from simulator.simulate import simulate
from tests.simulator.generating_fleets import fleet, generating, groups, one_shot, trace_of
from vocabulary.deployment import Slo
from vocabulary.generation import StepTimes
from vocabulary.outcomes import FATES
from vocabulary.request import Fate

limits_drawn = st.fixed_dictionaries(
    {
        "num_pages": st.integers(1, 12),
        "page_tokens": st.integers(1, 4),
        "max_batched_tokens": st.integers(5, 24),
        "max_sequences": st.integers(1, 5),
        "is_chunked": st.booleans(),
        "reserves_output": st.booleans(),
        "has_prefix_cache": st.booleans(),
    }
)
# Model, tenths of a second after the one before, input tokens, output tokens.
rows_drawn = st.lists(
    st.tuples(
        st.sampled_from(["chat", "code", "gone"]), st.integers(0, 9), st.integers(0, 20), st.integers(1, 9)
    ),
    min_size=1,
    max_size=20,
)
ODD = StepTimes(0.1, 0.01, 0.003)


@settings(deadline=None, max_examples=200)
@given(limits_drawn, rows_drawn, st.integers(1, 3), st.integers(1, 12))
def test_engines_on_their_own_give_what_the_event_simulator_gives(
    limits, rows, num_holders, max_queued
) -> None:
    slo = Slo(latency_s=3.0, ttft_s=1.0)
    models = [generating(name, times=ODD, slo=slo, **limits) for name in ("chat", "code", "gone")]
    deployment = fleet(*models, overhead_s=0.011, router="round_robin", max_queued_requests=max_queued)
    arrivals = np.cumsum([gap / 10 for _, gap, *_ in rows])
    asked = [(model, at, *lengths) for (model, _, *lengths), at in zip(rows, arrivals, strict=True)]
    placement, trace = groups(*["chat"] * num_holders, "code"), trace_of(deployment, *asked)
    assert supports_generation(placement, trace, deployment=deployment)
    fast = score_generation(placement, trace, deployment=deployment)
    if may_meet_a_full_queue(fast, deployment=deployment):
        return
    events = simulate(placement, trace, deployment=deployment)
    for name in ("fate", "group_index", "finish_s", "first_token_s", "good"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(events, name), err_msg=name)


def test_requests_take_turns_and_those_that_never_run_take_none() -> None:
    deployment = fleet(generating(num_pages=2), router="round_robin")
    rows = [("chat", 0.0, 4, 1), ("chat", 0.0, 9, 1), ("chat", 0.0, 4, 1)]
    found = score_generation(groups("chat", "chat"), trace_of(deployment, *rows), deployment=deployment)
    assert found.group_index.tolist() == [0, -1, 1]
    assert [FATES[code] for code in found.fate] == [Fate.SERVED, Fate.INVALID, Fate.SERVED]


@pytest.mark.parametrize(
    ("placement", "policy"),
    [
        (groups("chat code"), {}),
        (groups("chat", num_stages=2), {}),
        (groups("chat"), {"admission": "slo"}),
        (groups("chat"), {"queue": "edf"}),
        (groups("chat", "chat"), {"router": "least_loaded"}),
        (groups("chat", "embed"), {}),
    ],
)
def test_what_is_not_covered_is_left_to_the_event_simulator(placement, policy) -> None:
    models = generating(), generating("code"), one_shot()
    deployment = fleet(*models, **{"router": "round_robin", **policy})
    trace = trace_of(deployment, ("chat", 0.0, 4, 1))
    assert not supports_generation(placement, trace, deployment=deployment)


@pytest.mark.parametrize(
    ("settings", "is_covered"),
    [
        ({"num_host_pages": 4}, False),
        ({"num_host_pages": 4, "reserves_output": True}, True),  # nothing is ever preempted
        ({"eviction": "cost"}, True),  # of a trace without prefixes nothing is cached
    ],
)
def test_going_to_the_host_is_left_to_the_event_simulator(settings, is_covered) -> None:
    deployment = fleet(generating(**settings))
    trace = trace_of(deployment, ("chat", 0.0, 4, 2))
    assert supports_generation(groups("chat"), trace, deployment=deployment) is is_covered


def test_a_model_with_one_holder_is_covered_under_any_router() -> None:
    deployment = fleet(generating(), router="least_loaded")
    trace = trace_of(deployment, ("chat", 0.0, 4, 3))
    assert supports_generation(groups("chat"), trace, deployment=deployment)
    one_shot_trace = trace_of(deployment, ("chat", 0.0, 4, 0))
    assert not supports_generation(groups("chat"), one_shot_trace, deployment=deployment)
