"""A trace is served while things happen to the fleet."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.faults import (
    Fault,
    GroupJoins,
    GroupLeaves,
    Loss,
    ReplicaCloses,
    ReplicaOpens,
    Slowness,
    Stall,
    simulate_with_faults,
)
from simulator.simulate import simulate
from tests.simulator.drawn_fleets import Fleet, fleet_of, fleets
from tests.simulator.generating_fleets import fleet, generating, groups, trace_of
from vocabulary.deployment import Policy
from vocabulary.outcomes import FATES, Outcomes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group

POLICIES = st.builds(
    Policy,
    router=st.sampled_from(["round_robin", "least_loaded", "min_stage_clock", "shortest_expected_delay"]),
    queue=st.sampled_from(["fcfs", "edf"]),
    admission=st.sampled_from(["none", "slo"]),
    batching=st.sampled_from(["none", "deadline"]),
    max_batch_size=st.just(4),
    max_queued_requests=st.sampled_from([2, 100]),
)


def two_groups(*asks: tuple[float, str], slo_s: float | None = None, **policy) -> Fleet:
    """Model a takes a second on g0 and g1, b takes two on g1 alone."""
    models = {"a": (slo_s, [{1: (1.0,)}]), "b": (None, [{1: (2.0,)}])}
    return fleet_of(models, [(1, "a"), (1, "a b")], asks, policy=Policy(**policy))


def fates(one: Fleet, *faults: Fault, beat_timeout_s: float = 1.0) -> list[tuple[str, int, float]]:
    """Fate and last group of each request, and when it was served (0: it was not)."""
    found = outcomes(one, *faults, beat_timeout_s=beat_timeout_s)
    rows = zip(found.fate, found.group_index, found.finish_s, strict=True)
    return [(FATES[fate].value, int(group), round(float(finish_s), 6)) for fate, group, finish_s in rows]


def outcomes(one: Fleet, *faults: Fault, beat_timeout_s: float = 1.0) -> Outcomes:
    return simulate_with_faults(
        one.deployment, one.placement, one.trace, faults, beat_timeout_s=beat_timeout_s
    )


def assert_equal(found: Outcomes, expected: Outcomes) -> None:
    for column in ("group_index", "finish_s", "fate", "good", "first_token_s"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column), column)
    assert found.generation == expected.generation


@settings(deadline=None, max_examples=150)
@given(fleets(policies=POLICIES, batch_sizes=(1, 2, 4)))
def test_without_faults_it_is_the_simulation(one: Fleet) -> None:
    assert_equal(outcomes(one), simulate(one.placement, one.trace, deployment=one.deployment))


def test_without_faults_it_is_the_simulation_of_generation_as_well() -> None:
    deployment = fleet(generating("chat"), overhead_s=0.01)
    rows = [("chat", 0.1 * index, 5 + index, 1 + index % 4) for index in range(40)]
    trace, placement = trace_of(deployment, *rows), groups("chat", "chat")
    expected = simulate(placement, trace, deployment=deployment)
    assert_equal(simulate_with_faults(deployment, placement, trace), expected)


def test_what_a_lost_group_had_begun_is_lost_and_the_rest_is_served_elsewhere() -> None:
    one = two_groups(*[(0.0, "a")] * 4, router="round_robin")
    # 0 and 2 are on g0, which runs 0; 2 goes to g1, behind 1, and before 3 since it came before it.
    assert fates(one, Loss(0.5, 0)) == [
        ("lost", 0, 0.0),
        ("served", 1, 1.0),
        ("served", 1, 2.0),
        ("served", 1, 3.0),
    ]


def test_what_would_be_late_elsewhere_is_unavailable() -> None:
    one = two_groups(*[(0.0, "a")] * 4, slo_s=2.0)
    assert [fate for fate, _, _ in fates(one, Loss(0.5, 0))] == ["lost", "served", "unavailable", "served"]


def test_a_model_of_the_lost_group_alone_is_unavailable_until_it_is_back() -> None:
    one = two_groups((0.0, "b"), (0.5, "b"), (3.0, "b"), (6.0, "b"))
    assert fates(one, Loss(1.0, 1, opens_s=5.0)) == [
        ("lost", 1, 0.0),
        ("unavailable", 1, 0.0),
        ("unavailable", -1, 0.0),
        ("served", 1, 8.0),
    ]


def test_a_group_that_is_back_in_the_instant_of_its_loss_serves_on() -> None:
    one = two_groups((0.0, "b"), (0.5, "b"))
    assert fates(one, Loss(0.25, 1, 0.25)) == [("lost", 1, 0.0), ("served", 1, 2.5)]


def test_a_request_is_given_to_another_group_once() -> None:
    one = two_groups(*[(0.0, "a")] * 4, router="round_robin")
    assert [fate for fate, _, _ in fates(one, Loss(0.5, 0, opens_s=0.6), Loss(0.7, 1))] == [
        "lost",
        "lost",
        "unavailable",  # lost by g0, then by g1
        "served",  # g1's, and g0 was back
    ]


def test_a_stalled_group_is_lost_when_it_has_been_silent_for_too_long() -> None:
    one = two_groups((0.0, "b"), (0.5, "a"), (1.2, "a"), (1.3, "a"), router="least_loaded")
    found = fates(one, Stall(0.25, 1, opens_s=9.0), beat_timeout_s=2.0)
    # 2 went to the stalled g1, and waited for its end at 2.25.
    assert found == [("lost", 1, 0.0), ("served", 0, 1.5), ("served", 0, 2.5), ("served", 0, 3.5)]


def test_what_stalls_for_a_moment_is_late_but_not_lost() -> None:
    one = two_groups((0.0, "b"), (0.5, "b"))
    assert fates(one, Stall(1.5, 1, until_s=2.5), beat_timeout_s=2.0) == [
        ("served", 1, 2.5),
        ("served", 1, 4.5),
    ]


def test_a_slow_group_takes_longer_while_it_is_slow() -> None:
    one = two_groups((0.0, "b"), (3.0, "b"), (20.0, "b"))
    assert fates(one, Slowness(1.0, 10.0, 1, factor=5.0)) == [
        ("served", 1, 2.0),
        ("served", 1, 13.0),
        ("served", 1, 22.0),
    ]


def test_a_closed_replica_serves_what_it_has_and_nothing_more() -> None:
    one = two_groups((0.0, "b"), (0.5, "b"), (1.0, "b"), (3.0, "b"))
    found = fates(one, ReplicaCloses(0.75, 1, "b"), ReplicaOpens(2.0, 1, "b"))
    assert found == [("served", 1, 2.0), ("served", 1, 4.0), ("unavailable", -1, 0.0), ("served", 1, 6.0)]


def test_a_model_comes_to_another_group() -> None:
    one = two_groups((0.0, "b"), (0.0, "b"), (1.0, "b"))
    assert fates(one, ReplicaOpens(0.5, 0, "b"))[2] == ("served", 0, 3.0)


def test_groups_join_and_leave() -> None:
    one = two_groups((0.0, "b"), (1.0, "b"), (4.0, "b"), (5.0, "b"))
    joining = Group("g2", ("n-9:0",), ParallelConfig(1, 1), ("b",))
    found = fates(one, GroupJoins(0.5, joining), ReplicaCloses(2.0, 1, "b"), GroupLeaves(3.0, 1))
    assert found == [("served", 1, 2.0), ("served", 2, 3.0), ("served", 2, 6.0), ("served", 2, 8.0)]


def test_a_stream_that_has_begun_ends_with_its_group() -> None:
    deployment = fleet(generating("chat"))
    trace = trace_of(deployment, ("chat", 0.0, 4, 50), ("chat", 0.0, 4, 50), ("chat", 400.0, 4, 2))
    found = simulate_with_faults(deployment, groups("chat", "chat"), trace, [Loss(1.0, 0, opens_s=300.0)])
    assert [FATES[code].value for code in found.fate] == ["lost", "served", "served"]


@settings(deadline=None, max_examples=150)
@given(fleets(policies=POLICIES, batch_sizes=(1, 2, 4)), st.data())
def test_every_request_has_one_fate_whatever_happens(one: Fleet, data: st.DataObject) -> None:
    times_s = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0]) | st.floats(0.0, 5.0)
    indices = st.integers(0, len(one.placement.groups) - 1)
    models = st.sampled_from(["a", "b", "c"])
    happens = st.one_of(
        st.builds(Loss, times_s, indices, times_s.map(lambda time_s: time_s + 5.0)),
        st.builds(Stall, times_s, indices, opens_s=times_s.map(lambda time_s: time_s + 6.0)),
        st.builds(Slowness, times_s, times_s.map(lambda time_s: time_s + 5.0), indices, st.just(5.0)),
        st.builds(ReplicaCloses, times_s, indices, models),
    )
    faults = data.draw(st.lists(happens, max_size=6))
    found = outcomes(one, *faults)  # which asserts that nothing is left in flight
    assert_equal(outcomes(one, *faults), found)
    served = found.served
    assert np.all(found.finish_s[served] >= one.trace.arrival_s[served])
    assert np.all(found.group_index[served] >= 0)
