"""The event simulator: equal to the tandem recurrence, work conserving, repeatable."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.simulate import simulate
from tests.simulator.drawn_fleets import ARTIFACT, Fleet, fleet_of, fleets
from tests.simulator.tandem_oracle import Row, expected_rows
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Policy
from vocabulary.outcomes import FATES, NO_GROUP, Outcomes
from vocabulary.request import Fate
from vocabulary.units import TIME_TOLERANCE_S

ROUTERS = ("round_robin", "least_loaded", "min_stage_clock", "shortest_expected_delay")
ADMISSIONS = ("none", "slo")
ANY_POLICY = st.builds(
    Policy,
    router=st.sampled_from(ROUTERS),
    queue=st.sampled_from(["fcfs", "edf"]),
    admission=st.sampled_from(ADMISSIONS),
    slack_s=st.sampled_from([0.0, 0.25, -0.5]),
    batching=st.sampled_from(["none", "deadline"]),
    max_batch_size=st.integers(1, 5),
    max_queued_requests=st.sampled_from([1, 4, 100]),
)
LATENCIES = st.sampled_from([LatencyModel(), ARTIFACT, LatencyModel(fixed_overhead_s=0.25)])
ALONE, PAIR = {1: (1.0,)}, {1: (0.5, 0.5)}


def outcomes_of(fleet: Fleet) -> Outcomes:
    return simulate(fleet.placement, fleet.trace, deployment=fleet.deployment)


def rows_of(outcomes: Outcomes) -> list[Row]:
    fates = [FATES[code].value for code in outcomes.fate]
    columns = (outcomes.group_index.tolist(), outcomes.finish_s.tolist(), outcomes.good.tolist())
    return list(zip(fates, *columns, strict=True))


def fates_of(outcomes: Outcomes) -> list[Fate]:
    return [FATES[code] for code in outcomes.fate]


# Against the oracle.


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("admission", ADMISSIONS)
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_every_request_ends_as_the_tandem_recurrence_says(router: str, admission: str, data) -> None:
    policies = st.builds(
        Policy, router=st.just(router), admission=st.just(admission), slack_s=st.sampled_from([0.0, 0.25])
    )
    fleet = data.draw(fleets(policies=policies, latencies=LATENCIES))
    expected = expected_rows(fleet.placement, fleet.trace, deployment=fleet.deployment)
    assert rows_of(outcomes_of(fleet)) == expected


# Whatever the policy.


@settings(deadline=None, max_examples=200)
@given(fleets(policies=ANY_POLICY, latencies=LATENCIES, batch_sizes=(1, 2, 4)))
def test_every_request_has_one_fate_that_its_columns_agree_with(fleet: Fleet) -> None:
    outcomes = outcomes_of(fleet)
    allowed = {Fate.SERVED, Fate.SLO_INFEASIBLE, Fate.NOT_PLACED, Fate.QUEUE_FULL}
    for row, (fate, group, finish_s, good) in enumerate(rows_of(outcomes)):
        model = fleet.deployment.models[fleet.trace.model_index[row]]
        latency_s = finish_s - fleet.trace.arrival_s[row]
        assert Fate(fate) in allowed
        assert (Fate(fate) is Fate.NOT_PLACED) == (not fleet.placement.holders(model.name))
        if Fate(fate) is not Fate.SERVED:
            assert (finish_s, good) == (0.0, False)
            continue
        config = fleet.placement.groups[group].config
        assert group in fleet.placement.holders(model.name)
        alone_s = sum(fleet.deployment.catalog().costs(model.name, config).single)
        assert latency_s >= alone_s + fleet.deployment.latency.fixed_overhead_s - TIME_TOLERANCE_S
        assert good == (latency_s <= model.slo_s(fleet.deployment.latency) + TIME_TOLERANCE_S)
    assert np.all(outcomes.served <= (outcomes.group_index != NO_GROUP))


@settings(deadline=None, max_examples=100)
@given(fleets(policies=ANY_POLICY, latencies=LATENCIES, batch_sizes=(1, 2, 4)))
def test_the_same_trace_gives_the_same_outcomes(fleet: Fleet) -> None:
    assert rows_of(outcomes_of(fleet)) == rows_of(outcomes_of(fleet))


@settings(deadline=None, max_examples=200)
@given(fleets(policies=ANY_POLICY, batch_sizes=(1, 2, 4), max_stages=1))
def test_a_group_of_one_stage_runs_one_batch_at_a_time_and_never_idles_while_work_waits(fleet: Fleet) -> None:
    outcomes = outcomes_of(fleet)
    limit = (
        1 if fleet.deployment.policy.batching == "none" else min(4, fleet.deployment.policy.max_batch_size)
    )
    for group in range(len(fleet.placement.groups)):
        batches = batches_of(fleet, outcomes, group)
        assert all(len(batch) <= limit for _, _, batch in batches)
        for (_, end_s, _), (start_s, _, _) in pairwise([(0.0, 0.0, []), *batches]):
            assert start_s >= end_s - TIME_TOLERANCE_S
            waited = [row for start, _, batch in batches if start >= start_s for row in batch]
            came_s = min(fleet.trace.arrival_s[row] for row in waited)
            # Idle between two batches: then nobody who was served later had come yet.
            assert start_s <= end_s + TIME_TOLERANCE_S or start_s <= came_s + TIME_TOLERANCE_S


def batches_of(fleet: Fleet, outcomes: Outcomes, group: int) -> list[tuple[float, float, list[int]]]:
    """Start, end and rows of each batch on a group of one stage: those of one model that end together."""
    rows_by_end: dict[tuple[float, int], list[int]] = {}
    for row in np.flatnonzero(outcomes.served & (outcomes.group_index == group)).tolist():
        key = (float(outcomes.finish_s[row]), int(fleet.trace.model_index[row]))
        rows_by_end.setdefault(key, []).append(row)
    config, catalog = fleet.placement.groups[group].config, fleet.deployment.catalog()
    batches = []
    for (end_s, model), rows in sorted(rows_by_end.items()):
        costs = catalog.costs(fleet.trace.models[model], config)
        assert len(rows) <= costs.max_batch_size, "more rows end together than a batch may hold"
        batches.append((end_s - costs.of(len(rows))[0], end_s, rows))
    return batches


@settings(deadline=None, max_examples=100)
@given(
    fleets(
        policies=st.builds(Policy, queue=st.sampled_from(["fcfs", "edf"]), batching=st.just("deadline")),
        batch_sizes=(1, 2, 4),
    )
)
def test_with_exact_profiles_what_is_served_under_admission_is_good(fleet: Fleet) -> None:
    outcomes = outcomes_of(fleet)
    assert np.array_equal(outcomes.good, outcomes.served)


# By hand.


def test_stages_of_different_requests_overlap() -> None:
    fleet = fleet_of(
        {"a": (None, [PAIR])}, [(2, "a")], [(0.0, "a"), (0.0, "a"), (0.25, "a")], policy=Policy()
    )
    assert outcomes_of(fleet).finish_s.tolist() == [1.0, 1.5, 2.0]


def test_stages_that_take_no_time_end_in_the_instant() -> None:
    asks = [(1.0, "a"), (1.0, "a"), (1.0, "a")]
    fleet = fleet_of({"a": (0.0, [{1: (0.0, 0.0)}])}, [(2, "a")], asks, policy=Policy())
    assert rows_of(outcomes_of(fleet)) == [("served", 0, 1.0, True)] * 3


def test_a_model_on_no_group_is_not_placed_and_takes_no_time() -> None:
    models = {"a": (2.0, [ALONE]), "b": (2.0, [ALONE])}
    outcomes = outcomes_of(fleet_of(models, [(1, "a")], [(0.0, "b"), (0.0, "a")], policy=Policy()))
    assert rows_of(outcomes) == [("not_placed", NO_GROUP, 0.0, False), ("served", 0, 1.0, True)]


def test_without_groups_nothing_is_placed() -> None:
    fleet = fleet_of({"a": (2.0, [ALONE])}, [], [(0.0, "a")], policy=Policy())
    assert fates_of(outcomes_of(fleet)) == [Fate.NOT_PLACED]


def test_an_empty_trace_has_no_outcomes() -> None:
    fleet = fleet_of({"a": (2.0, [ALONE])}, [(1, "a")], [], policy=Policy())
    assert rows_of(outcomes_of(fleet)) == []


def test_a_refused_request_takes_no_time() -> None:
    asks = [(0.0, "a"), (0.1, "a"), (1.0, "a")]
    outcomes = outcomes_of(fleet_of({"a": (1.5, [ALONE])}, [(1, "a")], asks, policy=Policy()))
    assert fates_of(outcomes) == [Fate.SERVED, Fate.SLO_INFEASIBLE, Fate.SERVED]
    assert outcomes.finish_s.tolist() == [1.0, 0.0, 2.0]
    assert outcomes.group_index.tolist() == [0, NO_GROUP, 0]


def test_without_admission_late_requests_are_served_but_not_good() -> None:
    policy = Policy(admission="none")
    outcomes = outcomes_of(
        fleet_of({"a": (1.5, [ALONE])}, [(1, "a")], [(0.0, "a"), (0.1, "a")], policy=policy)
    )
    assert rows_of(outcomes) == [("served", 0, 1.0, True), ("served", 0, 2.0, False)]


def test_a_full_queue_refuses_until_one_is_done() -> None:
    policy = Policy(max_queued_requests=2)
    asks = [(0.0, "a"), (0.0, "a"), (0.5, "a"), (1.0, "a"), (1.25, "a")]
    outcomes = outcomes_of(fleet_of({"a": (None, [ALONE])}, [(1, "a")], asks, policy=policy))
    # What ends in the very instant of an arrival is still there.
    assert fates_of(outcomes) == [Fate.SERVED, Fate.SERVED, Fate.QUEUE_FULL, Fate.QUEUE_FULL, Fate.SERVED]


def test_an_objective_of_three_latencies_holds_three_requests() -> None:
    asks = [(0.0, "a")] * 4
    outcomes = outcomes_of(fleet_of({"a": (0.3, [{1: (0.1,)}])}, [(1, "a")], asks, policy=Policy()))
    assert outcomes.good.tolist() == [True, True, True, False]


def test_the_fixed_overhead_is_added_after_the_last_stage_and_occupies_nothing() -> None:
    asks = [(0.0, "a"), (0.0, "a")]
    latency = LatencyModel(fixed_overhead_s=0.25)
    fleet = fleet_of({"a": (None, [PAIR])}, [(2, "a")], asks, policy=Policy(), latency=latency)
    assert outcomes_of(fleet).finish_s.tolist() == [1.25, 1.75]


def test_the_fixed_overhead_counts_against_the_objective() -> None:
    latency = LatencyModel(fixed_overhead_s=0.25)
    fleet = fleet_of({"a": (1.125, [ALONE])}, [(1, "a")], [(0.0, "a")], policy=Policy(), latency=latency)
    assert fates_of(outcomes_of(fleet)) == [Fate.SLO_INFEASIBLE]


def test_the_stage_scale_grows_with_the_number_of_stages() -> None:
    latency = LatencyModel(stage_scale_per_stage=0.25)
    models = {"a": (None, [ALONE, PAIR])}
    one = fleet_of(models, [(1, "a")], [(0.0, "a")], policy=Policy(), latency=latency)
    two = fleet_of(models, [(2, "a")], [(0.0, "a")], policy=Policy(), latency=latency)
    assert outcomes_of(one).finish_s.tolist() == [1.25]
    assert outcomes_of(two).finish_s.tolist() == [1.5]


def test_the_earliest_deadline_overtakes_and_who_waited_too_long_is_dropped() -> None:
    models = {"a": (2.5, [ALONE]), "b": (1.75, [ALONE])}
    asks = [(0.0, "a"), (0.0, "a"), (0.5, "b")]
    first = outcomes_of(fleet_of(models, [(1, "a b")], asks, policy=Policy(queue="fcfs", admission="none")))
    assert first.finish_s.tolist() == [1.0, 2.0, 3.0]
    # Predictions know of no overtaking: without slack b is refused at the door, with it b comes in and past.
    overtaking = Policy(queue="edf", slack_s=-1.0)
    second = outcomes_of(fleet_of(models, [(1, "a b")], asks, policy=overtaking))
    assert fates_of(second) == [Fate.SERVED, Fate.SLO_INFEASIBLE, Fate.SERVED]
    assert second.finish_s.tolist() == [1.0, 0.0, 2.0]
    assert second.group_index.tolist() == [0, 0, 0]


def test_requests_that_wait_together_run_together() -> None:
    models = {"a": (9.0, [{1: (1.0,), 2: (1.25,), 4: (2.0,)}])}
    asks = [(0.0, "a"), (0.25, "a"), (0.5, "a"), (0.75, "a")]
    policy = Policy(batching="deadline", max_batch_size=4)
    # The first starts alone; the three that came meanwhile run as one batch, padded to four.
    assert outcomes_of(fleet_of(models, [(1, "a")], asks, policy=policy)).finish_s.tolist() == [
        1.0,
        3.0,
        3.0,
        3.0,
    ]


def test_a_trace_of_other_models_is_a_bug() -> None:
    fleet = fleet_of({"a": (2.0, [ALONE]), "b": (2.0, [ALONE])}, [(1, "a")], [(0.0, "a")], policy=Policy())
    with pytest.raises(AssertionError, match="align"):
        simulate(fleet.placement, fleet.trace.aligned_to(("b", "a")), deployment=fleet.deployment)
