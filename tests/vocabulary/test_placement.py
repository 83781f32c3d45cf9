"""Placements: models on disjoint groups of devices."""

from __future__ import annotations

import pytest

from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement

PAIR = Group("g0", ("n-0:0", "n-0:1"), ParallelConfig(1, 2), ("a", "b"))
SINGLE = Group("g1", ("n-0:2",), ParallelConfig(1, 1), ("b",))


def test_holders_come_in_plan_order() -> None:
    placement = Placement((PAIR, SINGLE))
    assert placement.holders("b") == (0, 1)
    assert placement.holders("a") == (0,)
    assert placement.holders("nobody") == ()


def test_replicas_and_models_are_counted_over_groups() -> None:
    placement = Placement((PAIR, SINGLE))
    assert placement.num_replicas == 3
    assert placement.models == {"a", "b"}


def test_a_stage_holds_neighbouring_devices() -> None:
    group = Group("g", tuple(f"n-0:{i}" for i in range(6)), ParallelConfig(tensor=2, pipeline=3), ())
    assert [group.stage_devices(stage) for stage in range(3)] == [
        ("n-0:0", "n-0:1"), ("n-0:2", "n-0:3"), ("n-0:4", "n-0:5"),
    ]  # fmt: skip


def test_a_group_has_as_many_devices_as_its_configuration() -> None:
    with pytest.raises(AssertionError):
        Group("g", ("n-0:0",), ParallelConfig(1, 2), ())


def test_a_group_holds_a_model_once() -> None:
    with pytest.raises(AssertionError):
        Group("g", ("n-0:0",), ParallelConfig(1, 1), ("a", "a"))


def test_groups_share_no_device() -> None:
    with pytest.raises(AssertionError, match="share a device"):
        Placement((PAIR, Group("g1", ("n-0:1",), ParallelConfig(1, 1), ())))


def test_groups_share_no_id() -> None:
    with pytest.raises(AssertionError, match="share an id"):
        Placement((PAIR, Group("g0", ("n-0:5",), ParallelConfig(1, 1), ())))


@pytest.mark.parametrize(("tensor", "pipeline"), [(0, 1), (1, 0)])
def test_a_configuration_has_at_least_one_of_each(tensor: int, pipeline: int) -> None:
    with pytest.raises(AssertionError):
        ParallelConfig(tensor, pipeline)


def test_configurations_order_by_tensor_then_pipeline() -> None:
    configs = [ParallelConfig(2, 1), ParallelConfig(1, 4), ParallelConfig(1, 2)]
    assert sorted(configs) == configs[::-1]
    assert [config.num_devices for config in configs] == [2, 4, 2]
