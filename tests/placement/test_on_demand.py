"""Models that are loaded when somebody asks for them, and go when nobody does."""

from __future__ import annotations

from dataclasses import replace

from placement.constraints import without_devices
from placement.on_demand import Residents, loading, next_unload_s, unloading, without_models
from tests.placement.fleets import deployment, model
from tests.placement.test_difference import group
from vocabulary.deployment import ModelSpec
from vocabulary.elasticity import OnDemand
from vocabulary.placement import Placement
from vocabulary.rules import PlacementRules


def rare(name: str, weight_bytes: int, **settings: object) -> ModelSpec:
    return model(name, weight_bytes, on_demand=OnDemand(True, idle_unload_s=100.0), **settings)


FLEET = deployment(model("a", 60), rare("b", 30), rare("c", 30), rare("d", 50), num_devices=2)
PLANNED = Placement((group("g0", "0.0", "a"),))


def test_a_model_goes_beside_others_where_there_is_room() -> None:
    found = loading("b", Residents(PLANNED, {}), deployment=FLEET)
    assert found is not None
    assert (found.group_id, found.evicted) == ("g0", ())
    assert found.placement.groups[0].models == ("a", "b")


def test_without_room_beside_others_it_goes_on_devices_that_nobody_uses() -> None:
    found = loading("d", Residents(PLANNED, {}), deployment=FLEET)
    assert found is not None
    assert found.placement.groups[1].models == ("d",)
    assert found.placement.groups[1].devices == ("n-0:1",)


def test_without_room_at_all_what_was_used_longest_ago_goes_and_planned_models_never_do() -> None:
    full = Placement((group("g0", "0.0", "a", "b"), group("g1", "0.1", "c", "d")))
    found = loading(
        "b",
        Residents(Placement((group("g0", "0.0", "a"), group("g1", "0.1", "c", "d"))), {}),
        deployment=FLEET,
    )
    assert found is not None
    assert found.evicted == ()
    fleet = replace(FLEET, models=(*FLEET.models, rare("e", 35)))
    used_s = {"b": 30.0, "c": 10.0, "d": 20.0}
    found = loading("e", Residents(full, used_s), deployment=fleet)
    assert found is not None
    assert found.evicted == (("c", "g1"),)
    assert "a" in found.placement.models


def test_models_with_requests_stay_and_then_there_may_be_no_way() -> None:
    fleet = deployment(model("a", 60), rare("b", 30), rare("d", 50), num_devices=1)
    full = Placement((group("g0", "0.0", "a", "b"),))
    assert loading("d", Residents(full, {"b": 0.0}, frozenset({"b"})), deployment=fleet) is None
    assert (
        loading("d", Residents(full, {"b": 0.0}), deployment=fleet) is None
    )  # a and d are too large together


def test_rules_hold_for_models_on_demand() -> None:
    pinned = replace(FLEET, rules=PlacementRules(pin={"b": frozenset({"n-0:1"})}))
    found = loading("b", Residents(PLANNED, {}), deployment=pinned)
    assert found is not None
    assert found.placement.groups[1].devices == ("n-0:1",)


def test_a_model_that_nobody_asked_for_goes_and_its_group_gives_its_devices_back() -> None:
    there = Placement((group("g0", "0.0", "a", "b"), group("g1", "0.1", "c")))
    residents = Residents(there, {"b": 50.0, "c": 0.0})
    assert unloading(residents, deployment=FLEET, now_s=99.0) == ()
    assert next_unload_s(residents, deployment=FLEET) == 100.0
    assert unloading(residents, deployment=FLEET, now_s=100.0) == ("c",)
    assert unloading(replace(residents, busy=frozenset({"c"})), deployment=FLEET, now_s=100.0) == ()
    assert without_models(there, ("c",)).groups == (there.groups[0],)
    assert unloading(residents, deployment=FLEET, now_s=1e9) == ("b", "c")


def test_models_of_other_engines_share_no_group() -> None:
    fleet = replace(FLEET, models=(replace(FLEET.models[0], engine="emulated"), *FLEET.models[1:]))
    found = loading("b", Residents(PLANNED, {}), deployment=fleet)
    assert found is not None
    assert found.group_id == "g1"


def test_a_group_whose_devices_are_away_takes_no_model() -> None:
    away = without_devices(FLEET, {"n-0:0"})
    found = loading("b", Residents(PLANNED, {}), deployment=away)
    assert found is not None
    assert found.placement.groups[1].devices == ("n-0:1",)
