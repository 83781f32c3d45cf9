"""The live shells under drawn faults: one reply for every request, and the fate that was simulated."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from simulator.faults import (
    Fault,
    GroupJoins,
    GroupLeaves,
    Loss,
    ReplicaCloses,
    ReplicaOpens,
    simulate_with_faults,
)
from tests.controller.chaotic_fleet import Answer, Chaos, serve
from tests.controller.test_simulated_is_served import arrivals, fleet, policies
from vocabulary.deployment import Deployment
from vocabulary.outcomes import FATES
from vocabulary.placement import Group, Placement
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S

NUM_SCHEDULES = 100


def drawn(seed: int, *, num: int = 60) -> tuple[Deployment, Placement, Trace, np.random.Generator]:
    """A fleet and its traffic; every third on a grid, where times tie."""
    random = np.random.default_rng(seed)
    grid_s = 0.05 if seed % 3 == 0 else 0.0
    policy = policies()[seed % len(policies())]
    deployment, placement = fleet(random, grid_s=grid_s, policy=policy)
    return deployment, placement, arrivals(random, deployment.model_names, grid_s=grid_s, num=num), random


def drawn_time_s(random: np.random.Generator, trace: Trace) -> float:
    """Where things happen: mostly at the time of an arrival."""
    if random.random() < 0.6:
        return float(random.choice(trace.arrival_s))
    return float(random.uniform(0.0, trace.arrival_s[-1]))


def losses(random: np.random.Generator, placement: Placement, trace: Trace) -> tuple[Fault, ...]:
    """Groups die, and most of them come back."""
    found = []
    for _ in range(random.integers(1, 7)):
        at_s = drawn_time_s(random, trace)
        opens_s = at_s + float(random.choice([0.05, 0.5, 2.0])) if random.random() < 0.8 else NEVER_S
        found.append(Loss(at_s, int(random.integers(len(placement.groups))), opens_s))
    return tuple(found)


def anything(random: np.random.Generator, placement: Placement, trace: Trace) -> tuple[Fault, ...]:
    """Besides, replicas open and close, and groups join and leave."""
    found = list(losses(random, placement, trace))
    num_groups = len(placement.groups)
    for number in range(random.integers(0, 3)):
        like = placement.groups[int(random.integers(num_groups))]
        devices = tuple(f"n-{number + 1}:{index}" for index in range(like.config.num_devices))
        joining = Group(f"j{number}", devices, like.config, like.models)
        found.append(GroupJoins(drawn_time_s(random, trace), joining))
    for _ in range(random.integers(0, 8)):
        at_s, index = drawn_time_s(random, trace), int(random.integers(num_groups + 2))
        model = str(random.choice(trace.models))
        kinds = (
            ReplicaCloses(at_s, index, model),
            ReplicaOpens(at_s, index, model),
            GroupLeaves(at_s, index),
        )
        found.append(kinds[int(random.choice([0, 0, 0, 1, 1, 1, 2]))])
    return tuple(sorted(found, key=lambda fault: fault.at_s))


def simulated(
    deployment: Deployment, placement: Placement, trace: Trace, faults: tuple[Fault, ...]
) -> list[Answer | None]:
    found = simulate_with_faults(deployment, placement, trace, faults)
    answers: list[Answer | None] = []
    for row, code in enumerate(found.fate):
        fate = FATES[code].value
        if fate == "served":
            group = placement.groups[found.group_index[row]].id
            answers.append(Answer(fate, group, float(found.finish_s[row])))
        else:
            answers.append(Answer(fate))
    return answers


def check_losses(seed: int) -> list[Answer | None]:
    deployment, placement, trace, random = drawn(seed)
    faults = losses(random, placement, trace)
    served = serve(deployment, placement, trace, Chaos(faults))
    assert served == simulated(deployment, placement, trace, faults), seed
    return served


def check_anything(seed: int) -> list[Answer | None]:
    # `serve` checks that every call ends once, and that nothing is in flight afterwards.
    deployment, placement, trace, random = drawn(seed)
    faults = anything(random, placement, trace)
    leavers = random.choice(len(trace), size=random.integers(0, 12), replace=False)
    cancels = tuple(
        (int(row), float(trace.arrival_s[row] + random.choice([0.0, 0.05, 0.3]))) for row in leavers
    )
    return serve(deployment, placement, trace, Chaos(faults, cancels))


@pytest.mark.parametrize("first_seed", range(0, NUM_SCHEDULES, 50))
def test_lost_groups_have_the_consequences_that_were_simulated(first_seed: int) -> None:
    fates = Counter(
        answer.fate
        for seed in range(first_seed, first_seed + 50)
        for answer in check_losses(seed)
        if answer is not None
    )
    # It is about something.
    assert min(fates["served"], fates["lost"], fates["unavailable"], fates["slo_infeasible"]) > 20, fates


@pytest.mark.parametrize("first_seed", range(10_000, 10_000 + NUM_SCHEDULES, 50))
def test_every_request_gets_one_reply_whatever_happens(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 50):
        check_anything(seed)
