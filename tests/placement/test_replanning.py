"""Plans for fleets that serve: from what runs, with everybody kept, and only where a move pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placement.replanning import Question, answer, is_gradual
from tests.placement.fleets import deployment, model, requests
from tests.placement.test_difference import group
from vocabulary.elasticity import OnDemand
from vocabulary.errors import Infeasible
from vocabulary.placement import Placement

NOW = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "b")))


def asked(current: Placement, fleet: object, trace: object, **more: object) -> Question:
    settings = {"budget_s": 1.0, "horizon_s": 1000.0, "store_bytes_per_s": 1e6, **more}
    return Question(current, fleet, trace, **settings)  # type: ignore[arg-type]


def test_nothing_moves_while_everybody_is_in_time() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=2)
    found = answer(asked(NOW, fleet, requests({"a": 0.5, "b": 0.5}), required=("a", "b")))
    assert not found.is_move
    assert found.plan.placement == NOW
    assert found.num_bytes == 0


def test_a_model_that_is_new_gets_a_place_and_what_runs_keeps_its_own() -> None:
    fleet = deployment(model("a", 60), model("b", 60), model("c", 30), num_devices=2)
    found = answer(asked(NOW, fleet, requests({"a": 1.0, "b": 1.0, "c": 0.0}), required=("a", "b", "c")))
    assert found.is_move
    assert found.left_out == ()
    assert {"a", "b", "c"} == found.plan.placement.models
    assert found.chosen.num_moves >= 1
    assert {one.id for one in found.plan.placement.groups} >= {"g0", "g1"}


def test_a_model_without_room_is_told_and_the_others_stay() -> None:
    fleet = deployment(model("a", 60), model("b", 60), model("c", 90), num_devices=2)
    found = answer(asked(NOW, fleet, requests({"a": 1.0, "b": 1.0, "c": 0.1}), required=("a", "b", "c")))
    assert found.left_out == ("c",)
    assert found.plan.placement.models == {"a", "b"}


def test_what_the_deployment_itself_requires_is_not_given_up() -> None:
    fleet = deployment(model("a", 60), model("b", 60), model("c", 90, min_replicas=1), num_devices=2)
    both = replace(fleet, models=tuple(replace(one, min_replicas=1) for one in fleet.models))
    with pytest.raises(Infeasible):
        answer(asked(NOW, both, requests({"a": 1.0, "b": 1.0, "c": 0.1})))


def test_a_model_that_is_kept_is_not_dropped_for_one_that_is_asked_for_more() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=2)
    found = answer(asked(NOW, fleet, requests({"a": 12.0, "b": 0.05}), required=("a", "b")))
    assert found.plan.placement.models == {"a", "b"}
    free = answer(asked(NOW, fleet, requests({"a": 12.0, "b": 0.05})))
    assert free.plan.placement.models == {"a"}
    assert "requests gained" in free.why


def test_a_gain_below_what_is_asked_is_not_taken() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=2)
    trace = requests({"a": 12.0, "b": 0.05})
    found = answer(asked(NOW, fleet, trace, min_gain=0.9))
    assert not found.is_move
    assert found.why.endswith("not worth the move")


def test_no_plan_moves_more_replicas_than_allowed() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=4)
    four = Placement((*NOW.groups, group("g2", "0.2", "b"), group("g3", "0.3", "b")))
    trace = requests({"a": 12.0, "b": 0.5})
    assert answer(asked(four, fleet, trace)).chosen.num_moves > 1
    assert answer(asked(four, fleet, trace, max_moves=1)).chosen.num_moves <= 1


def test_devices_that_are_gone_take_their_groups_along() -> None:
    smaller = deployment(model("a", 40), model("b", 40), num_devices=1)
    found = answer(asked(NOW, smaller, requests({"a": 1.0, "b": 1.0}), required=("a", "b")))
    assert found.plan.placement.models == {"a", "b"}
    assert {device for one in found.plan.placement.groups for device in one.devices} == {"n-0:0"}


def test_devices_that_are_new_are_used() -> None:
    larger = deployment(model("a", 60), model("b", 60), num_devices=4)
    found = answer(asked(NOW, larger, requests({"a": 9.0, "b": 9.0}), required=("a", "b")))
    assert found.is_move
    assert len({device for one in found.plan.placement.groups for device in one.devices}) == 4


def test_a_plan_that_would_leave_a_model_without_a_replica_on_the_way_is_not_taken() -> None:
    # a and b can change places only by way of a third place, and there is none.
    fleet = deployment(model("a", 60), model("b", 60), model("c", 60), num_devices=3)
    now = Placement((*NOW.groups, group("g2", "0.2", "c")))
    swapped = Placement((group("g0", "0.0", "b"), group("g1", "0.1", "a"), group("g2", "0.2", "c")))
    assert not is_gradual(now, swapped, deployment=fleet)
    assert is_gradual(now, now, deployment=fleet)
    found = answer(asked(now, fleet, requests({"a": 6.0, "b": 1.0, "c": 1.0}), required=("a", "b", "c")))
    assert is_gradual(now, found.plan.placement, deployment=fleet)


def test_a_model_on_demand_that_nobody_asks_for_gets_no_place() -> None:
    rare = model("c", 10, on_demand=OnDemand(True))
    fleet = deployment(model("a", 60), model("b", 60), rare, model("d", 20), num_devices=2)
    found = answer(
        asked(NOW, fleet, requests({"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}), required=("a", "b", "d"))
    )
    assert found.plan.placement.models == {"a", "b", "d"}
    wanted = answer(asked(NOW, fleet, requests({"a": 1.0, "b": 1.0, "c": 1.0}), required=("a", "b", "d")))
    assert "c" in wanted.plan.placement.models
