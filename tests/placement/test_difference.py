import pytest

from placement.difference import Difference, difference, stopped
from resharding.move_costs import Store
from resharding.network import Network
from tests.placement.fleets import deployment, model
from vocabulary.errors import Infeasible
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement

# A byte a second between hosts, and nothing else costs time.
SLOW = Network(nic_bytes_per_s=1.0, intra_bytes_per_s=1e12, latency_s=0.0)
FLEET = deployment(model("a", 60), model("b", 40), num_hosts=2, num_devices=2)


def group(name: str, devices: str, *models: str, tensor: int = 1, pipeline: int = 1) -> Group:
    """Devices as host.device: `0.1 1.0`."""
    ids = tuple(f"n-{one.replace('.', ':')}" for one in devices.split())
    return Group(name, ids, ParallelConfig(tensor, pipeline), models)


def between(old: Placement, new: Placement, *, store: Store | None = None) -> Difference:
    return difference(old, new, deployment=FLEET, network=SLOW, store=store)


def test_equal_placements_differ_in_nothing() -> None:
    placement = Placement((group("g0", "0.0", "a"), group("g1", "1.0", "b")))
    found = between(placement, placement)
    assert found.is_nothing
    assert found.same == (("g0", "g0"), ("g1", "g1"))
    assert found.kept == (("a", "g0"), ("b", "g1"))
    assert found.together.seconds == 0.0


def test_a_replica_is_copied_from_the_group_that_has_it_at_the_speed_of_the_port() -> None:
    old = Placement((group("g0", "0.0", "a"), group("g1", "1.0")))
    new = Placement((group("g0", "0.0", "a"), group("g1", "1.0", "a")))
    found = between(old, new)
    (move,) = found.moves
    assert (move.model, move.group, move.origin, move.num_bytes) == ("a", "g1", "replica on g0", 60)
    assert move.seconds == pytest.approx(60.0)
    assert found.loading_s == {"g1": pytest.approx(60.0)}
    assert found.kept == (("a", "g0"),)


def test_groups_have_their_ids_from_either_side_but_are_known_by_their_devices() -> None:
    old = Placement((group("old", "0.0", "a"),))
    new = Placement((group("new", "0.0", "a", "b"),))
    found = between(old, new, store=Store(host_bytes_per_s=10.0))
    assert found.same == (("old", "new"),)
    assert found.kept == (("a", "new"),)
    (move,) = found.moves
    assert (move.model, move.origin, move.seconds) == ("b", "store", pytest.approx(4.0))


def test_a_model_that_nobody_holds_needs_a_store() -> None:
    old, new = Placement((group("g0", "0.0", "a"),)), Placement((group("g0", "0.0", "a", "b"),))
    with pytest.raises(Infeasible, match="no replica of b lives"):
        between(old, new)


def test_another_configuration_on_the_same_devices_is_another_group_whose_weights_are_there() -> None:
    old = Placement((group("g0", "0.0 0.1", "a", pipeline=2),))
    new = Placement((group("g0", "0.0 0.1", "a", tensor=2),))
    found = between(old, new)
    assert (found.opened, found.closed, found.dropped) == (("g0",), ("g0",), (("a", "g0"),))
    (move,) = found.moves
    assert (move.origin, move.num_bytes) == ("here", 0)


def test_several_moves_of_one_model_are_planned_together_as_a_multicast() -> None:
    old = Placement((group("g0", "0.0", "a"),))
    new = Placement((group("g0", "0.0", "a"), group("g1", "1.0", "a"), group("g2", "1.1", "a")))
    found = between(old, new)
    assert [move.seconds for move in found.moves] == [pytest.approx(60.0)] * 2
    # The second device gets it inside its host.
    assert found.together.num_bytes == 60
    assert found.together.seconds == pytest.approx(60.0)


def test_what_stops_for_a_group_is_all_on_its_devices_but_the_replicas_that_stay() -> None:
    old = Placement((group("g0", "0.0", "a", "b"), group("g1", "0.1", "a"), group("g2", "1.0", "b")))
    new = Placement((group("g0", "0.0", "a"), group("wide", "0.1 1.0", "b", pipeline=2)))
    found = stopped(old, new)
    assert found == {"g0": (("b", "g0"),), "wide": (("a", "g1"), ("b", "g2"))}
