"""Groups of two plans that are the same keep their ids."""

from __future__ import annotations

from scheduling.changes.names import keep_names
from tests.scheduling.toy_world import group_of
from vocabulary.placement import Placement


def test_a_group_on_the_same_devices_keeps_its_id_and_a_new_one_takes_none_that_is_there() -> None:
    there = Placement((group_of("g0", "d0", "a"), group_of("g1", "d1", "b"), group_of("g2", "d2 d3", "b")))
    wanted = Placement((group_of("g0", "d1", "a"), group_of("g1", "d0 d2", "a"), group_of("g7", "d3", "b")))
    assert [group.id for group in keep_names(there, wanted).groups] == ["g1", "g1-2", "g7"]
    assert [group.models for group in keep_names(there, wanted).groups] == [("a",), ("a",), ("b",)]


def test_the_same_plan_stays_as_it_is() -> None:
    plan = Placement((group_of("g0", "d0", "a"), group_of("g1", "d1 d2", "b")))
    assert keep_names(plan, plan) == plan
    assert keep_names(Placement(()), plan) == plan


def test_ids_with_numbers_are_not_given_twice() -> None:
    there = Placement((group_of("g0", "d0", "a"), group_of("g0-2", "d1", "a")))
    wanted = Placement((group_of("g0", "d2", "a"), group_of("g0-2", "d1", "a")))
    assert [group.id for group in keep_names(there, wanted).groups] == ["g0-3", "g0-2"]
