"""Several front ends: one is as none, and what staleness costs which router."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from simulator.fronts import Fronts, simulate_fronts
from simulator.simulate import simulate
from simulator.traffic.workload import generate
from tests.simulator.random_fleets import random_fleet
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo, Workload
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.outcomes import FATE_CODE
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.request import Fate
from vocabulary.trace import Trace

ROUTERS = (
    "round_robin",
    "least_loaded",
    "min_stage_clock",
    "shortest_expected_delay",
    "power_of_two",
)
ONE = ParallelConfig(1, 1)
NUM_GROUPS = 16


def replicas(router: str) -> tuple[Deployment, Placement]:
    """Sixteen equal groups of one model that takes 0.1 s, with an SLO of four times that."""
    entry = ProfileEntry(ONE, (1,), {}, {1: (0.1,)})
    profile = profile_of("m", "cpu", [entry], provenance=Provenance())
    model = ModelSpec("m", profile=profile, slo=Slo(0.4))
    cluster = Cluster((NodeClass("n", 1, "cpu", NUM_GROUPS, 100),))
    groups = tuple(
        Group(f"g{index}", (device.id,), ONE, ("m",)) for index, device in enumerate(cluster.devices)
    )
    return Deployment("fronts", cluster, (model,), policy=Policy(router=router)), Placement(groups)


def attainment(router: str, fronts: Fronts, *, load: float = 0.85) -> float:
    deployment, placement = replicas(router)
    trace = generate({"m": Workload(load * NUM_GROUPS / 0.1, 1.0)}, duration_s=40.0, seed=3)
    return float(simulate_fronts(placement, trace, deployment=deployment, fronts=fronts).good.mean())


@pytest.mark.parametrize(("router", "interval_s"), tuple(product(ROUTERS, (0.05, 0.7))))
def test_with_one_front_end_heartbeats_change_nothing(router: str, interval_s: float) -> None:
    for seed, (tick_s, queue, admission) in enumerate(
        product((None, 0.25), ("fcfs", "edf"), ("slo", "none"))
    ):
        policy = Policy(router=router, queue=queue, admission=admission)
        fleet = random_fleet(seed, policy=policy, tick_s=tick_s)
        alone = simulate(fleet.placement, fleet.trace, deployment=fleet.deployment)
        fronts = Fronts(1, interval_s)
        same = simulate_fronts(fleet.placement, fleet.trace, deployment=fleet.deployment, fronts=fronts)
        for column in ("group_index", "finish_s", "fate", "good"):
            np.testing.assert_array_equal(getattr(alone, column), getattr(same, column))


@pytest.mark.parametrize(("split", "router"), tuple(product(("turns", "hash"), ROUTERS)))
def test_every_request_gets_one_answer(split: str, router: str) -> None:
    for seed in range(4):
        fleet = random_fleet(seed, policy=Policy(router=router, batching="deadline"))
        fronts = Fronts(3, 0.3, split)
        found = simulate_fronts(fleet.placement, fleet.trace, deployment=fleet.deployment, fronts=fronts)
        held = {model for group in fleet.placement.groups for model in group.models}
        placed = np.isin(np.array(fleet.trace.models)[fleet.trace.model_index], sorted(held))
        np.testing.assert_array_equal(found.fate == FATE_CODE[Fate.NOT_PLACED], ~placed)
        assert np.all(found.finish_s[found.fate == FATE_CODE[Fate.SERVED]] > 0)


def test_the_best_of_all_herds_on_stale_beliefs_and_the_better_of_two_does_not() -> None:
    stale = Fronts(8, 0.5)
    best_of_all = attainment("shortest_expected_delay", stale)
    best_of_two = attainment("power_of_two", stale)
    assert best_of_two > best_of_all + 0.1, (best_of_two, best_of_all)
    # With all that is known, two are nearly as good as all.
    alone = replace(stale, num_fronts=1)
    assert attainment("power_of_two", alone) > attainment("shortest_expected_delay", alone) - 0.02


def test_fresh_heartbeats_are_worth_more_than_stale_ones() -> None:
    fresh, stale = (attainment("power_of_two", Fronts(4, interval_s)) for interval_s in (0.05, 2.0))
    assert fresh > stale + 0.02, (fresh, stale)


def test_what_heartbeats_say_is_worth_more_than_nothing() -> None:
    heard, deaf = (attainment("power_of_two", Fronts(4, interval_s)) for interval_s in (0.1, 1e6))
    assert heard > deaf + 0.02, (heard, deaf)


def test_a_trace_of_other_models_is_refused() -> None:
    deployment, placement = replicas("power_of_two")
    other = Trace(np.zeros(0), np.zeros(0, dtype=np.int32), ("other",))
    with pytest.raises(AssertionError, match="align"):
        simulate_fronts(placement, other, deployment=deployment, fronts=Fronts())
