"""What a placement is worth: against the definitions computed anew, and by enumerating small instances."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.candidate import Candidate
from placement.groups import carve, hosts_of
from placement.memory import Memory
from placement.objectives import Objective, objective_of, objective_value, unserved
from placement.problem import Problem
from placement.search import search
from simulator.fast import Tally
from simulator.fast_or_events import outcomes_of
from tests.placement.fleets import LATENCY_S, deployment, model, requests
from vocabulary.deployment import OBJECTIVES, Deployment, Slo
from vocabulary.outcomes import statistics
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement
from vocabulary.trace import Trace

NAMES = ("hot", "warm", "cold")
# One model a device; "hot" alone overloads two devices, so that serving the others costs requests.
TRAFFIC = requests({"hot": 14.0, "warm": 2.0, "cold": 0.2}, duration_s=30.0)


def fleet(objective: str = "slo_attainment", **asked: float) -> Deployment:
    models = (
        model(name, 40, (1, 1), slo=Slo(2 * LATENCY_S, asked.get(name)), weight=weight)
        for name, weight in zip(NAMES, (1.0, 1.0, 3.0), strict=True)
    )
    return replace(deployment(*models, num_devices=2, memory_bytes=40), objective=objective)


def tally(good: list[int], asked: list[int]) -> Tally:
    return Tally(np.array(good), np.array(asked), np.zeros(1, dtype=np.int64), 0.0)


COUNTS = st.lists(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=4
)
SHARES = st.lists(st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]), min_size=4, max_size=4)


def objective(name: str, num_models: int, asked: list[float]) -> Objective:
    return Objective(name, tuple(float(1 + i) for i in range(num_models)), tuple(asked[:num_models]))


@given(st.sampled_from(OBJECTIVES), COUNTS, SHARES)
def test_a_promise_that_is_kept_is_above_any_that_is_broken(name, counts, asked):
    found = tally(*map(list, zip(*counts, strict=True)))
    wanted = objective(name, len(counts), asked)
    value = objective_value(wanted, found)
    short = sum(
        max(0.0, share - (good / num if num else 1.0))
        for share, (good, num) in zip(asked, counts, strict=False)
    )
    assert value <= 1.0
    assert (value >= 0.0) == (short == 0.0)
    if short:
        assert -short - 0.01 <= value <= -short


@given(COUNTS)
def test_slo_attainment_is_the_share_to_the_last_bit(counts):
    found = tally(*map(list, zip(*counts, strict=True)))
    assert objective_value(objective("slo_attainment", len(counts), [0.0] * 4), found) == found.attainment
    unmet = found.num_requests * (1 - found.num_good / (found.num_requests + 1e-6))
    assert unserved(objective("slo_attainment", len(counts), [0.0] * 4), found).tolist() == unmet.tolist()


def test_models_without_requests_count_for_nothing():
    found = tally([5, 0, 8], [10, 0, 10])
    assert objective_value(objective("weighted_slo_attainment", 3, [0.0] * 3), found) == pytest.approx(
        (1 * 0.5 + 3 * 0.8) / 4
    )
    assert objective_value(objective("min_model_attainment", 3, [0.0] * 3), found) == pytest.approx(
        0.99 * 0.5 + 0.01 * 0.65
    )
    assert objective_value(objective("slo_attainment", 3, [0.0, 1.0, 0.0]), found) == 0.65
    assert objective_value(objective("slo_attainment", 3, [1.0] * 3), tally([0, 0, 0], [0, 0, 0])) == 1.0


def test_a_model_below_what_it_asks_for_is_wanted_first():
    found = tally([10, 8, 9], [100, 10, 10])
    wanted = objective("slo_attainment", 3, [0.0, 0.9, 0.95])
    assert np.argsort(-unserved(wanted, found)).tolist() == [1, 2, 0]


@pytest.mark.parametrize("name", ["slo_attainment", "weighted_slo_attainment", "min_model_attainment"])
@pytest.mark.parametrize("asked", [{}, {"cold": 0.5}, {"warm": 0.9, "cold": 0.9}])
def test_the_best_of_all_placements_is_the_best_by_definition(name, asked):
    small = fleet(name, **asked)
    problem = Problem(small, TRAFFIC)
    wanted = objective_of(small)
    best, best_key = None, None
    for candidate in every_placement(small):
        key = by_definition(name, candidate.placement(NAMES), small, TRAFFIC, asked)
        if best_key is None or key > best_key:
            best, best_key = candidate, key
        value = objective_value(wanted, problem.tally(candidate))
        assert value == pytest.approx(worth(key), abs=1e-9)
    found = search(small, TRAFFIC).placement
    assert by_definition(name, found, small, TRAFFIC, asked) == best_key, best


def test_objectives_disagree_where_they_should():
    held = {
        name: sorted(search(fleet(name), TRAFFIC).placement.models)
        for name in ("slo_attainment", "weighted_slo_attainment", "min_model_attainment")
    }
    assert held["slo_attainment"] == ["hot"]
    assert held["weighted_slo_attainment"] == ["cold", "warm"]
    promised = search(fleet(cold=0.9), TRAFFIC).placement
    assert sorted(promised.models) == ["cold", "hot"]


def every_placement(small: Deployment):
    """Two devices, each with nothing or one of the models."""
    memory = Memory(small, small.catalog())
    layout = carve(hosts_of(small.cluster), ParallelConfig())
    for content in product(((), (0,), (1,), (2,)), repeat=len(layout)):
        used = [memory.used(mesh, held) for mesh, held in zip(layout, content, strict=True)]
        if any(content) and all((u <= m.usable_bytes).all() for u, m in zip(used, layout, strict=True)):
            yield Candidate(layout, content)


def by_definition(
    name: str, placement: Placement, small: Deployment, trace: Trace, asked: dict[str, float]
) -> tuple[float, float]:
    """Minus the shortfall, then the plain value; of requests simulated one by one."""
    outcomes = outcomes_of(placement, trace, deployment=small)
    shares = {
        model: statistics(outcomes, rows=slice(None), model_index=index).slo_attainment
        for index, model in enumerate(NAMES)
    }
    short = sum(max(0.0, share - shares[model]) for model, share in asked.items())
    if name == "weighted_slo_attainment":
        plain = (shares["hot"] + shares["warm"] + 3 * shares["cold"]) / 5
    elif name == "min_model_attainment":
        plain = 0.99 * min(shares.values()) + 0.01 * sum(shares.values()) / 3
    else:
        plain = statistics(outcomes, rows=slice(None)).slo_attainment
    return (-round(short, 12), round(plain, 12))


def worth(key: tuple[float, float]) -> float:
    short, plain = key
    return plain if short == 0.0 else short - 0.01 * (1 - plain)
