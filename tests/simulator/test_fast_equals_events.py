"""The compiled scorer against the event simulator: the same fate and the same finish, to the last bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fast import Scorer, score
from simulator.fast_queues import may_overflow
from simulator.simulate import simulate
from tests.simulator import drawn_fleets
from tests.simulator.drawn_fleets import ARTIFACT, fleets
from tests.simulator.random_fleets import Fleet, random_fleet
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Policy
from vocabulary.outcomes import FATE_CODE, kept_rows
from vocabulary.request import Fate

ROUTERS = (
    "prefix_affinity",
    "shortest_expected_delay",
    "min_stage_clock",
    "least_loaded",
    "round_robin",
    "power_of_two",
)
POLICIES = tuple(product(ROUTERS, ("slo", "none")))
DRAWN_POLICIES = st.builds(
    Policy,
    router=st.sampled_from(ROUTERS),
    admission=st.sampled_from(["slo", "none"]),
    slack_s=st.sampled_from([0.0, 0.25]),
    max_queued_requests=st.sampled_from([1, 2, 4, 8, 100_000]),
)
LATENCIES = st.sampled_from([LatencyModel(), ARTIFACT, LatencyModel(fixed_overhead_s=0.25)])


@settings(max_examples=400, deadline=None)
@given(fleets(policies=DRAWN_POLICIES, latencies=LATENCIES, max_requests=40))
def test_drawn_fleets_give_the_same_outcomes_and_counts(fleet: drawn_fleets.Fleet) -> None:
    assert_same(fleet)


@pytest.mark.parametrize(("router", "admission"), POLICIES)
def test_random_times_give_the_same_outcomes(router: str, admission: str) -> None:
    for seed in range(12):
        assert_same(random_fleet(seed, policy=Policy(router=router, admission=admission)))


@pytest.mark.parametrize(("router", "admission"), POLICIES)
def test_tied_times_give_the_same_outcomes(router: str, admission: str) -> None:
    for seed in range(12):
        assert_same(random_fleet(seed, policy=Policy(router=router, admission=admission), tick_s=0.25))


@pytest.mark.parametrize(("router", "admission"), POLICIES)
def test_the_artifacts_latency_model_gives_the_same_outcomes(router: str, admission: str) -> None:
    for seed in range(6):
        assert_same(random_fleet(seed, policy=Policy(router=router, admission=admission), latency=ARTIFACT))


@pytest.mark.parametrize("router", ROUTERS)
def test_a_slack_gives_the_same_outcomes(router: str) -> None:
    for seed in range(6):
        assert_same(random_fleet(seed, policy=Policy(router=router, slack_s=0.3)))


@pytest.mark.parametrize(("router", "tick_s"), tuple(product(ROUTERS, (None, 0.25))))
def test_a_full_queue_gives_the_same_outcomes(router: str, tick_s: float | None) -> None:
    for seed, max_queued in product(range(4), (1, 3)):
        policy = Policy(router=router, admission="none", max_queued_requests=max_queued)
        assert_same(random_fleet(seed, policy=policy, tick_s=tick_s))


@pytest.mark.parametrize("router", ROUTERS)
def test_a_limit_that_admission_never_lets_a_queue_reach_is_not_watched_and_not_missed(router: str) -> None:
    for seed in range(6):
        policy = Policy(router=router, max_queued_requests=200)
        fleet = random_fleet(seed, policy=policy, tick_s=0.25)
        if all(model.slo.latency_s is not None for model in fleet.deployment.models):
            groups = len(fleet.placement.groups)
            assert not may_overflow(fleet.deployment, num_requests=len(fleet.trace), num_groups=groups)
        assert_same(fleet)


def assert_same(fleet: Fleet | drawn_fleets.Fleet) -> None:
    fast = score(fleet.placement, fleet.trace, deployment=fleet.deployment)
    events = simulate(fleet.placement, fleet.trace, deployment=fleet.deployment)
    np.testing.assert_array_equal(fast.fate, events.fate)
    np.testing.assert_array_equal(fast.group_index, events.group_index)
    np.testing.assert_array_equal(fast.finish_s, events.finish_s)
    np.testing.assert_array_equal(fast.good, events.good)
    assert_counts_are_of(fleet, trim_s=0.0)
    assert_counts_are_of(fleet, trim_s=1.0)


def assert_counts_are_of(fleet: Fleet | drawn_fleets.Fleet, *, trim_s: float) -> None:
    """What a search reads are the sums of what a report reads."""
    trace, models = fleet.trace, fleet.deployment.model_names
    scorer = Scorer(trace, deployment=fleet.deployment, trim_s=trim_s)
    layout = tuple(group.config for group in fleet.placement.groups)
    content = [[models.index(model) for model in group.models] for group in fleet.placement.groups]
    tally, outcomes = scorer.tally(layout, content), scorer.outcomes(fleet.placement)
    rows = kept_rows(trace, trim_s)
    good = trace.model_index[rows][outcomes.good[rows]]
    assert tally.num_good.tolist() == np.bincount(good, minlength=len(models)).tolist()
    assert tally.num_requests.tolist() == np.bincount(trace.model_index[rows], minlength=len(models)).tolist()
    latency_s = outcomes.latency_s[rows]
    assert tally.total_latency_s == sum(latency_s[~np.isnan(latency_s)].tolist())
    # What is refused for its SLO was routed too.
    asked = np.isin(outcomes.fate[rows], [FATE_CODE[Fate.SERVED], FATE_CODE[Fate.SLO_INFEASIBLE]])
    assert tally.num_routed.sum() == asked.sum()
    served = outcomes.group_index[rows][outcomes.served[rows]]
    assert (tally.num_routed >= np.bincount(served, minlength=len(layout))).all()
