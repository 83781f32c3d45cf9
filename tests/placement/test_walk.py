"""Local search on lanes: what it keeps, and that chance is in the seed alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.budget import Budget
from placement.candidate import Candidate
from placement.changes import propose
from placement.greedy import Scored, fill
from placement.groups import carve, hosts_of
from placement.problem import Problem
from placement.room import Units, room_of
from placement.scenario import rough
from placement.walk import DRAWS, WIDTH, Walk
from tests.placement.fleets import deployment, model, requests
from vocabulary.deployment import Deployment, Policy
from vocabulary.fit import check_fit
from vocabulary.parallel import ParallelConfig
from vocabulary.rules import Apart, PlacementRules

TRAFFIC = requests({"a": 9.0, "b": 6.0, "c": 3.0, "d": 1.0})
FLEET = deployment(model("a", 60), model("b", 40), model("c", 30), model("d", 20), num_devices=4)


def problem_of(fleet: Deployment = FLEET) -> Problem:
    return Problem(fleet, TRAFFIC)


def start_of(problem: Problem, config: ParallelConfig | None = None) -> Scored:
    layout = carve(hosts_of(problem.deployment.cluster), config or ParallelConfig())
    filled = fill(problem, layout)
    assert filled is not None
    return filled.best


def walked(problem: Problem, start: Scored, *, seed: int = 0, num_steps: int = 12) -> Scored:
    walk = Walk(problem, start, rough(problem), seed=(seed,))
    walk.run(num_steps, Budget())
    return walk.best


def proposals(problem: Problem, candidate: Candidate, *, seed: int) -> np.ndarray:
    units = Units(problem)
    held = units.of(candidate.content, len(candidate.layout))
    proposed = np.empty((WIDTH, *held.shape), dtype=bool)
    draws = np.random.default_rng(seed).random((WIDTH, DRAWS))
    room = room_of(problem, candidate.layout, units)
    propose(held, room, np.ones(held.shape[1]), np.ones(held.shape), draws, proposed)
    return units.models(proposed)


@pytest.mark.parametrize("config", [ParallelConfig(), ParallelConfig(1, 2), ParallelConfig(2, 2)], ids=str)
def test_a_walk_is_never_worse_than_its_start_and_the_same_for_a_seed(config: ParallelConfig) -> None:
    problem = problem_of()
    start = start_of(problem, config)
    assert walked(problem, start, seed=1) == walked(problem, start, seed=1)
    assert min(walked(problem, start, seed=seed).value for seed in range(3)) >= start.value


def test_the_value_of_a_walk_is_what_the_scalar_scorer_says() -> None:
    problem = problem_of()
    found = walked(problem, start_of(problem))
    assert found.value == pytest.approx(
        problem.value(found.candidate, problem.tally(found.candidate)), abs=1e-12
    )


def test_a_walk_finds_the_best_of_all_placements_of_a_small_fleet() -> None:
    fleet = deployment(model("a", 50), model("b", 50), model("c", 50), num_devices=2)
    problem = Problem(fleet, requests({"a": 6.0, "b": 3.0, "c": 1.0}))
    layout = carve(hosts_of(fleet.cluster), ParallelConfig())
    pairs = [(0, 1), (0, 2), (1, 2)]
    every = [Candidate(layout, (one, other)) for one in pairs for other in pairs]
    worst = min((Scored(c, problem.value(c, problem.tally(c))) for c in every), key=lambda one: one.value)
    best = max(problem.value(candidate, problem.tally(candidate)) for candidate in every)
    assert walked(problem, worst, num_steps=40).value == pytest.approx(best, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), config=st.sampled_from([ParallelConfig(), ParallelConfig(1, 2)]))
def test_every_neighbour_fits_in_memory(seed: int, config: ParallelConfig) -> None:
    problem = problem_of()
    start = start_of(problem, config).candidate
    for held in proposals(problem, start, seed=seed):
        content = tuple(tuple(np.flatnonzero(row).tolist()) for row in held)
        check_fit(Candidate(start.layout, content).placement(FLEET.model_names), FLEET)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_neighbour_breaks_a_rule(seed: int) -> None:
    models = list(FLEET.models)
    models[0] = replace(models[0], min_replicas=1, max_replicas=2)
    rules = PlacementRules(
        colocate=(("c", "d"),), separate=(Apart(("a", "b")),), pin={"b": frozenset({"n-0:0", "n-0:1"})}
    )
    problem = problem_of(replace(FLEET, models=tuple(models), rules=rules))
    start = start_of(problem).candidate
    assert not problem.constraints.violations(start.placement(FLEET.model_names, keeps_devices=True))
    for held in proposals(problem, start, seed=seed):
        content = tuple(tuple(np.flatnonzero(row).tolist()) for row in held)
        placement = Candidate(start.layout, content).placement(FLEET.model_names, keeps_devices=True)
        assert not problem.constraints.violations(placement)


def test_a_replica_that_moves_lets_those_that_made_room_come_back() -> None:
    """Two groups that are full: without an exchange nothing could be bettered."""
    fleet = deployment(model("a", 60), model("b", 60), model("c", 40), model("d", 40), num_devices=2)
    problem = Problem(fleet, TRAFFIC)
    layout = carve(hosts_of(fleet.cluster), ParallelConfig())
    full = Candidate(layout, ((0, 2), (1, 3)))
    swapped = np.array([[[True, False, False, True], [False, True, True, False]]])
    found = any((proposals(problem, full, seed=seed) == swapped).all(axis=(1, 2)).any() for seed in range(20))
    assert found


def test_policies_that_lanes_do_not_have_are_walked_on_too() -> None:
    problem = problem_of(replace(FLEET, policy=Policy(router="least_loaded")))
    start = start_of(problem)
    assert not rough(problem).is_threaded
    assert walked(problem, start, num_steps=3).value >= start.value


def test_a_stopped_budget_ends_a_walk_at_once() -> None:
    problem = problem_of()
    budget = Budget()
    budget.stop()
    walk = Walk(problem, start_of(problem), rough(problem), seed=(0,))
    before = walk.num_evaluated
    walk.run(1000, budget)
    assert walk.num_evaluated == before
