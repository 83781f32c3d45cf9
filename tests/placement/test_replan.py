from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from placement.replan import Replan, replan
from placement.replan_devices import with_fewest_moves
from placement.search import search
from resharding.move_costs import Store
from resharding.network import Network
from tests.placement.fleets import LATENCY_S, deployment, model
from tests.placement.test_difference import group
from vocabulary.deployment import Deployment
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.placement import Placement
from vocabulary.rules import Apart, PlacementRules
from vocabulary.trace import Trace

# A byte a second between hosts and from the store.
SLOW = Network(nic_bytes_per_s=1.0, intra_bytes_per_s=1e12, latency_s=0.0)
STORE = Store(host_bytes_per_s=1.0)
ON_A = Placement((group("g0", "0.0", "a"),))
ON_B = Placement((group("g0", "0.0", "b"),))


def one_device() -> Deployment:
    return deployment(model("a", 60), model("b", 50), num_devices=1)


def only_b(*, num_requests: int = 101) -> Trace:
    """One request a second, each in time on an idle device."""
    return Trace(np.arange(num_requests) * 1.0, np.ones(num_requests, dtype=np.int32), ("a", "b"))


def decided(current: Placement, fleet: Deployment, trace: Trace, horizon_s: float, **more: object) -> Replan:
    settings = {"network": SLOW, "store": STORE, **more}
    return replan(current, fleet, trace, horizon_s=horizon_s, **settings)  # type: ignore[arg-type]


def test_a_plan_that_serves_nobody_is_left_as_soon_as_the_move_ends_within_the_horizon() -> None:
    # 50 bytes at a byte a second: what is gained counts from the 50th second on, 1.01 requests in each.
    found = decided(ON_A, one_device(), only_b(), 150.0)
    assert found.is_move
    assert found.chosen.placement.models == {"b"}
    assert found.chosen.moving_s == pytest.approx(50.0)
    assert found.chosen.gained == pytest.approx(1.01 * 100.0)
    assert found.chosen.lost == 0.0


def test_a_horizon_shorter_than_the_move_keeps_the_current_placement() -> None:
    found = decided(ON_A, one_device(), only_b(), 49.0)
    assert not found.is_move
    assert found.chosen.placement is ON_A
    assert {option.name for option in found.options} > {"keep"}


def test_what_a_group_would_have_served_while_it_loads_is_lost() -> None:
    # Requests for b twice as often as for a: moving gains half of what it loses in a second.
    trace = Trace(np.arange(300) * 1.0, np.tile([0, 1, 1], 100).astype(np.int32), ("a", "b"))
    found = decided(ON_A, one_device(), trace, 1000.0)
    moved = next(option for option in found.options if option.name != "keep")
    assert moved.lost == pytest.approx(50.0 * 100 / 299)
    assert moved.gained == pytest.approx((1000.0 - 50.0) * 100 / 299)
    assert found.is_move
    # Where the gain of the horizon is just what the move costs, nobody moves.
    assert not decided(ON_A, one_device(), trace, 100.0).is_move
    assert decided(ON_A, one_device(), trace, 101.0).is_move


def test_a_replica_that_stays_serves_on_while_another_is_loaded_beside_it() -> None:
    fleet = deployment(model("a", 50), model("b", 50), num_devices=1)
    trace = Trace(np.arange(300) * 1.0, np.tile([0, 1, 1], 100).astype(np.int32), ("a", "b"))
    found = decided(ON_A, fleet, trace, 60.0)
    assert found.is_move
    assert found.chosen.placement.groups[0].models == ("a", "b")
    assert found.chosen.lost == 0.0


def test_starting_a_new_group_takes_its_time_too() -> None:
    fleet = deployment(model("a", 60), num_devices=2)
    pair = Placement((group("g0", "0.0 0.1", "a", pipeline=2),))
    trace = Trace(np.zeros(1), np.zeros(1, dtype=np.int32), ("a",))
    proposal = {"apart": Placement((group("g0", "0.0", "a"), group("g1", "0.1", "a")))}
    found = decided(pair, fleet, trace, 10.0, restart_s=3.0, proposals=proposal)
    (apart,) = (option for option in found.options if option.name == "apart")
    assert apart.moving_s == pytest.approx(6.0)
    assert not found.is_move


def test_without_proposals_the_search_makes_one() -> None:
    found = decided(ON_A, one_device(), only_b(), 1e6, proposals=None)
    names = [option.name for option in found.options]
    assert names[-1] == "keep"
    assert found.chosen.slo_attainment == 1.0
    assert search(one_device(), only_b()).placement.models == found.chosen.placement.models


def test_equal_groups_take_the_devices_where_their_models_are() -> None:
    fleet = deployment(model("a", 60), model("b", 60), model("c", 60), num_devices=3)
    old = Placement((group("x", "0.0", "a"), group("y", "0.1", "b"), group("z", "0.2", "c")))
    for order in permutations("abc"):
        new = Placement(tuple(group(f"g{i}", f"0.{i}", one) for i, one in enumerate(order)))
        moved = with_fewest_moves(old, new, deployment=fleet)
        assert set(moved.groups) == set(old.groups)
        assert [one.models[0] for one in moved.groups] == list(order)


def test_whole_hosts_change_places_where_that_keeps_more() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_hosts=2, num_devices=2)
    wide, alone = ("a",), ("b",)
    old = Placement((
        group("g0", "0.0 0.1", *wide, pipeline=2), group("g1", "1.0", *alone), group("g2", "1.1", *alone),
    ))  # fmt: skip
    new = Placement((
        group("g0", "0.0", *alone), group("g1", "0.1", *alone), group("g2", "1.0 1.1", *wide, pipeline=2),
    ))  # fmt: skip
    assert set(with_fewest_moves(old, new, deployment=fleet).groups) == set(old.groups)


def test_hosts_that_a_group_ties_together_stay_together() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_hosts=4, num_devices=1)
    old = Placement((group("g0", "2.0 3.0", "a", pipeline=2), group("g1", "0.0", "b")))
    new = Placement((group("g0", "0.0 1.0", "a", pipeline=2), group("g1", "2.0", "b")))
    moved = with_fewest_moves(old, new, deployment=fleet)
    assert moved.groups[0] == old.groups[0]
    assert moved.groups[1] == old.groups[1]


def test_devices_of_another_class_are_no_place_for_a_group() -> None:
    nodes = (NodeClass("n", 1, "cpu", 1, 100), NodeClass("m", 1, "cpu", 1, 200))
    fleet = Deployment("two classes", Cluster(nodes), (model("a", 60), model("b", 60)))
    old = Placement((group("g0", "0.0", "a"),))
    (large,) = (device.id for device in fleet.cluster.devices if device.node == "m")
    new = Placement((Placement((group("g0", "0.0", "b"),)).groups[0],))
    new = Placement((type(new.groups[0])("g1", (large,), new.groups[0].config, ("a",)),))
    assert with_fewest_moves(old, new, deployment=fleet).groups[0].devices == (large,)


def test_a_pinned_model_is_not_moved_off_its_devices() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=2)
    pinned = Deployment(
        fleet.name, fleet.cluster, fleet.models, rules=PlacementRules(pin={"a": frozenset({"n-0:0"})})
    )
    old = Placement((group("g0", "0.1", "a"), group("g1", "0.0", "b")))
    new = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "b")))
    assert with_fewest_moves(old, new, deployment=pinned).groups[0].devices == ("n-0:0",)
    assert with_fewest_moves(old, new, deployment=fleet).groups[0].devices == ("n-0:1",)


def test_latency_of_the_fleet_is_what_the_tests_count_on() -> None:
    assert LATENCY_S < 1.0


def test_no_permutation_of_equal_devices_keeps_more_bytes() -> None:
    rng = np.random.default_rng(0)
    sizes = {"a": 10, "b": 20, "c": 30, "d": 35}
    fleet = deployment(*(model(name, size) for name, size in sizes.items()), num_devices=4)

    def drawn() -> Placement:
        return Placement(tuple(
            group(f"g{number}", f"0.{number}", *sorted(rng.choice(list(sizes), 2, replace=False)))
            for number in range(4)
        ))  # fmt: skip

    def kept_bytes(old: Placement, new: Placement) -> int:
        held = {one.devices: set(one.models) for one in old.groups}
        return sum(sizes[m] for one in new.groups for m in one.models if m in held[one.devices])

    for _ in range(20):
        old, new = drawn(), drawn()
        moved = with_fewest_moves(old, new, deployment=fleet)
        devices = [one.devices for one in new.groups]
        best = max(
            kept_bytes(
                old,
                Placement(tuple(replace(one, devices=d) for one, d in zip(new.groups, order, strict=True))),
            )
            for order in permutations(devices)
        )
        assert kept_bytes(old, moved) == best
        assert [one.models for one in moved.groups] == [one.models for one in new.groups]


def test_a_placement_that_does_not_fit_any_more_is_left_whatever_that_costs() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=1)
    too_much = Placement((group("g0", "0.0", "a", "b"),))
    found = decided(too_much, fleet, only_b(), 1.0, proposals={"search": ON_B})
    assert found.is_move
    assert found.chosen.placement.models == {"b"}
    assert found.options[-1].name == "keep"


def test_rules_that_are_new_are_heeded() -> None:
    fleet = deployment(model("a", 40), model("b", 40), num_devices=2)
    apart = replace(fleet, rules=PlacementRules(separate=(Apart(("a", "b")),)))
    both = Placement((group("g0", "0.0", "a", "b"),))
    alone = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "b")))
    assert not decided(both, fleet, only_b(), 1.0, proposals={"search": alone}).is_move
    assert decided(both, apart, only_b(), 1.0, proposals={"search": alone}).is_move
