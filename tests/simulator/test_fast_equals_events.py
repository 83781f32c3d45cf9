"""The compiled scorer against the event simulator: the same fate and the same finish, to the last bit."""

from itertools import product

import numpy as np
import pytest

from simulator.fast import score
from simulator.simulate import simulate
from tests.simulator.random_fleets import Fleet, random_fleet
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Policy

ROUTERS = ("shortest_expected_delay", "min_stage_clock", "least_loaded", "round_robin")
POLICIES = tuple(product(ROUTERS, ("slo", "none")))


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
    latency = LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011)
    for seed in range(6):
        assert_same(random_fleet(seed, policy=Policy(router=router, admission=admission), latency=latency))


@pytest.mark.parametrize("router", ROUTERS)
def test_a_slack_gives_the_same_outcomes(router: str) -> None:
    for seed in range(6):
        assert_same(random_fleet(seed, policy=Policy(router=router, slack_s=0.3)))


@pytest.mark.parametrize(("router", "tick_s"), tuple(product(ROUTERS, (None, 0.25))))
def test_a_full_queue_gives_the_same_outcomes(router: str, tick_s: float | None) -> None:
    for seed, max_queued in product(range(4), (1, 3)):
        policy = Policy(router=router, admission="none", max_queued_requests=max_queued)
        assert_same(random_fleet(seed, policy=policy, tick_s=tick_s))


def assert_same(fleet: Fleet) -> None:
    fast = score(fleet.placement, fleet.trace, deployment=fleet.deployment)
    events = simulate(fleet.placement, fleet.trace, deployment=fleet.deployment)
    np.testing.assert_array_equal(fast.fate, events.fate)
    np.testing.assert_array_equal(fast.group_index, events.group_index)
    np.testing.assert_array_equal(fast.finish_s, events.finish_s)
    np.testing.assert_array_equal(fast.good, events.good)
