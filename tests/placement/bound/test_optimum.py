"""Plan <= best plan of the policy <= best of any policy <= bound, where all can be found by looking."""

from functools import cache

import pytest

from placement.bound.upper import upper_bound
from placement.search import search
from tests.placement.bound.instances import Instance, instance
from tests.placement.bound.optimum import clairvoyant_optimum, counted_good, policy_optimum
from vocabulary.errors import Infeasible

SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_plan_and_optimum_and_clairvoyant_and_bound_are_in_this_order(seed: int) -> None:
    found = instance(seed)
    most = most_of(seed)
    assert plan_of(found) <= policy_optimum(found.deployment, found.trace) <= most <= bound_of(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_batches_no_order_and_no_batch_exceeds_the_bound(seed: int) -> None:
    found = instance(seed, is_batched=True)
    most = clairvoyant_optimum(found.deployment, found.trace)
    assert policy_optimum(found.deployment, found.trace) <= most <= bound_of(found)


def test_the_bound_is_the_optimum_of_most_tiny_instances_and_less_than_everything_on_many() -> None:
    found = [instance(seed) for seed in SEEDS]
    most = [most_of(seed) for seed in SEEDS]
    bounds = [bound_of(one) for one in found]
    assert sum(bound == one for bound, one in zip(bounds, most, strict=True)) >= 0.7 * len(found)
    assert sum(bound < len(one.trace) for bound, one in zip(bounds, found, strict=True)) >= 0.3 * len(found)


@cache
def most_of(seed: int) -> int:
    found = instance(seed)
    return clairvoyant_optimum(found.deployment, found.trace)


def plan_of(found: Instance) -> int:
    try:
        placement = search(found.deployment, found.trace).placement
    except Infeasible:
        return 0
    return counted_good(found.deployment, placement, found.trace)


def bound_of(found: Instance) -> int:
    return round(upper_bound(found.deployment, found.trace, budget_s=20.0).attainment * len(found.trace))
