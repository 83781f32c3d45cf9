from dataclasses import replace

import numpy as np
import pytest

from placement.why import Change, WhatIf, candidate_of
from placement.why_there import Exchange, Explanation, Seat, explain
from simulator.fast_or_events import outcomes_of
from tests.placement.fleets import LATENCY_S, ONE_DEVICE_ONLY, deployment, model
from tests.placement.test_difference import group
from vocabulary.deployment import Deployment, Slo
from vocabulary.placement import Placement
from vocabulary.rules import Apart, PlacementRules
from vocabulary.trace import Trace

FLEET = deployment(model("a", 60), model("b", 50), model("c", 30), num_devices=3)
ON = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "b", "c"), group("g2", "0.2", "c")))


def bursts(*sizes: int) -> Trace:
    """So many requests for each model at once; five of a burst are in time on a device of its own."""
    index = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return Trace(np.zeros(len(index)), index, ("a", "b", "c")[: len(sizes)])


def about(name: str, *sizes: int, fleet: Deployment = FLEET, on: Placement = ON) -> Explanation:
    return explain(name, on, bursts(*sizes), deployment=fleet)


def seat(found: Explanation, name: str) -> Seat:
    return next(one for one in found.seats if one.group == name)


def test_without_its_only_replica_a_model_loses_all_its_requests_in_time() -> None:
    found = about("a", 9, 0, 0)
    assert (found.num_requests, found.num_good) == (9, 5)
    assert seat(found, "g0").is_held
    assert seat(found, "g0").dropped == Change(-5, -5)


def test_another_replica_gains_what_its_group_can_serve_beside_the_others() -> None:
    found = about("a", 20, 0, 0)
    assert seat(found, "g2").added == Change(5, 5)
    # 60 beside 30 bytes of 100.
    assert seat(found, "g2").has_room
    assert found.next_replica is not None
    assert found.next_replica.added == Change(5, 5)


def test_where_there_is_no_room_the_missing_bytes_and_who_would_have_to_leave_are_known() -> None:
    there = seat(about("a", 20, 5, 0), "g1")
    assert there.room is not None
    assert (there.room.missing_bytes, there.room.stage) == (40, 0)
    # b needs the device for itself; c could leave but its 30 bytes are too few.
    assert there.exchanged == Exchange("b", Change(0, 5))


def test_a_required_replica_does_not_leave() -> None:
    kept = deployment(model("a", 60), model("b", 50, min_replicas=1), model("c", 30), num_devices=3)
    assert seat(about("a", 20, 5, 0, fleet=kept), "g1").exchanged is None


def test_a_move_takes_the_replica_that_is_missed_least() -> None:
    # c's replica on g1 waits behind b; the one on g2 has its device alone.
    found = about("c", 0, 5, 5)
    assert seat(found, "g1").dropped == Change(0, 0)
    assert seat(found, "g2").dropped == Change(-5, -5)
    assert seat(found, "g0").moved == Change(0, 0)


def test_a_group_that_a_model_may_not_use_has_no_numbers() -> None:
    alone = deployment(model("a", 60, parallelism=ONE_DEVICE_ONLY), model("b", 50), num_devices=3)
    on = Placement((group("g0", "0.0", "a"), group("g1", "0.1 0.2", "b", pipeline=2)))
    there = seat(explain("a", on, bursts(9, 0), deployment=alone), "g1")
    assert (there.room, there.added, there.moved) == (None, None, None)
    assert there.alone_s == pytest.approx(LATENCY_S)


def test_where_rules_keep_a_model_out_no_replica_is_weighed() -> None:
    apart = replace(FLEET, rules=PlacementRules(separate=(Apart(("a", "c")),)))
    found = about("a", 20, 0, 0, fleet=apart)
    assert [seat(found, name).is_ruled_out for name in ("g0", "g1", "g2")] == [False, True, True]
    assert (seat(found, "g2").added, seat(found, "g2").moved, found.next_replica) == (None, None, None)


def test_a_limit_of_replicas_lets_them_move() -> None:
    once = deployment(model("a", 60, max_replicas=1), model("b", 50), model("c", 30), num_devices=3)
    there = seat(about("a", 20, 0, 0, fleet=once), "g2")
    assert there.is_ruled_out
    assert there.moved == Change(0, 0)


def test_models_that_must_be_together_come_and_go_together() -> None:
    pair = replace(FLEET, rules=PlacementRules(colocate=(("b", "c"),)))
    on = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "b", "c"), group("g2", "0.2")))
    found = about("b", 0, 2, 3, fleet=pair, on=on)
    assert seat(found, "g1").dropped == Change(-5, -2)
    room = seat(found, "g0").room
    assert room is not None
    # 60, 50 and 30 bytes of 100.
    assert room.missing_bytes == 40


def test_an_slo_that_nothing_keeps_is_said() -> None:
    hurry = deployment(model("a", 60, (1, 1), slo=Slo(LATENCY_S / 2)), num_devices=1)
    on = Placement((group("g0", "0.0", "a"),))
    assert "below its quickest latency" in explain("a", on, bursts(3), deployment=hurry).impossible
    assert about("a", 1, 0, 0).impossible == ""


def test_what_if_counts_as_the_simulation_does() -> None:
    trace = bursts(9, 5, 8)
    what_if = WhatIf(ON, trace, deployment=FLEET)
    outcomes = outcomes_of(ON, trace, deployment=FLEET)
    assert int(what_if.tally.num_good.sum()) == int(outcomes.good.sum())
    assert what_if.num_missed.sum() == len(trace) - outcomes.good.sum()
    assert what_if.change(what_if.candidate) == Change(0, 0)


def test_a_placement_as_a_candidate_and_back_is_the_same() -> None:
    candidate = candidate_of(ON, FLEET)
    assert candidate.placement(FLEET.model_names) == ON
