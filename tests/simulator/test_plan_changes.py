"""Changes of plan in virtual time: what opens and closes when, and what requests feel of it."""

from __future__ import annotations

import numpy as np

from simulator.faults import GroupJoins, GroupLeaves, ReplicaCloses, ReplicaOpens, simulate_with_faults
from simulator.plan_changes import Costs, Wanted, carried_out
from tests.placement.fleets import deployment, model, requests
from tests.placement.test_difference import group
from vocabulary.outcomes import FATE_CODE
from vocabulary.placement import Placement
from vocabulary.request import Fate

FLEET = deployment(model("a", 40), model("b", 40), model("c", 40), num_devices=2)
COSTS = Costs(store_bytes_per_s=10.0, start_s=5.0, drain_s=2.0)
FIRST = Placement((group("g0", "0.0", "a", "b"), group("g1", "0.1", "a")))


def test_a_model_more_is_open_when_its_bytes_are_read() -> None:
    more = Placement((FIRST.groups[0], group("g1", "0.1", "a", "c")))
    found = carried_out(FIRST, [Wanted(100.0, more)], deployment=FLEET, costs=COSTS)
    assert found.faults == (ReplicaOpens(104.0, 1, "c"),)
    assert (found.num_loads, found.num_bytes, found.busy_s) == (1, 40, 4.0)


def test_what_makes_room_is_closed_and_done_before_the_next_is_read() -> None:
    other = Placement((group("g0", "0.0", "b", "c"), FIRST.groups[1]))
    found = carried_out(FIRST, [Wanted(10.0, other)], deployment=FLEET, costs=COSTS)
    assert found.faults == (ReplicaCloses(10.0, 0, "a"), ReplicaOpens(16.0, 0, "c"))


def test_groups_of_one_host_read_one_after_another() -> None:
    both = Placement((group("g0", "0.0", "a", "c"), group("g1", "0.1", "a", "c")))
    start = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "a")))
    found = carried_out(start, [Wanted(0.0, both)], deployment=FLEET, costs=COSTS)
    assert sorted(fault.at_s for fault in found.faults) == [4.0, 8.0]


def test_another_configuration_is_another_group() -> None:
    fleet = deployment(model("a", 40), model("b", 40), model("c", 40), num_devices=3)
    wide = group("g2", "0.1 0.2", "c", pipeline=2)
    found = carried_out(
        FIRST, [Wanted(0.0, Placement((FIRST.groups[0], wide)))], deployment=fleet, costs=COSTS
    )
    assert found.faults == (ReplicaCloses(0.0, 1, "a"), GroupLeaves(2.0, 1), GroupJoins(11.0, wide))


def test_no_request_fails_while_a_plan_changes_under_load() -> None:
    trace = requests({"a": 2.0, "b": 1.0, "c": 0.0}, duration_s=120.0)
    plans = [
        Wanted(20.0, Placement((group("g0", "0.0", "b", "c"), group("g1", "0.1", "a")))),
        Wanted(60.0, Placement((group("g0", "0.0", "b", "a"), group("g1", "0.1", "a", "c")))),
    ]
    found = carried_out(FIRST, plans, deployment=FLEET, costs=COSTS)
    outcomes = simulate_with_faults(FLEET, FIRST, trace, found.faults)
    fates = set(np.unique(outcomes.fate).tolist())
    refused = {FATE_CODE[fate] for fate in (Fate.UNAVAILABLE, Fate.LOST, Fate.NOT_PLACED, Fate.FAILED)}
    assert not fates & refused
    assert found.given_up == ()
