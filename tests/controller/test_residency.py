"""Placements with one model more or less."""

from __future__ import annotations

import pytest

from controller.change.residency import with_model, without_model
from tests.controller.ray_fleet import deployment, group
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement

ONE = ParallelConfig(1, 1)
# Devices have 100 bytes.
FLEET = deployment(weight_bytes=60)
DEVICES = frozenset(device.id for device in FLEET.cluster.devices)
A, B = group("g0", ["n-0:0"], ONE, "a"), group("g1", ["n-0:1"], ONE, "b")
EMPTY = group("g1", ["n-0:1"], ONE, "")


def loaded(placement: Placement, model: str, *, before: Placement = Placement((A, B))) -> Placement:  # noqa: B008
    return with_model(placement, model, deployment=FLEET, before=before, devices=DEVICES)


def test_an_unloaded_model_leaves_its_group_where_it_is() -> None:
    assert without_model(Placement((A, B)), "b") == Placement((A, EMPTY))


def test_a_model_comes_back_where_it_was() -> None:
    assert loaded(Placement((A, EMPTY)), "b") == Placement((A, B))


def test_a_model_that_is_there_changes_nothing() -> None:
    assert loaded(Placement((A, B)), "b") == Placement((A, B))


def test_a_model_that_was_nowhere_goes_where_most_room_is() -> None:
    assert loaded(Placement((A, EMPTY)), "b", before=Placement((A,))) == Placement((A, B))


def test_without_room_the_bytes_that_lack_are_told() -> None:
    with pytest.raises(Infeasible, match="no group has room for model b: group g0, with the most, lacks 20"):
        loaded(Placement((A,)), "b")


def test_a_group_without_its_host_gets_nothing() -> None:
    with pytest.raises(Infeasible, match="no group can run model b"):
        with_model(
            Placement((EMPTY,)), "b", deployment=FLEET, before=Placement((B,)), devices=DEVICES - {"n-0:1"}
        )


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the deployment has no model 'c'"):
        loaded(Placement((A,)), "c")
