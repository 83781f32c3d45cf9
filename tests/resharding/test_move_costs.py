"""What bringing weights to a group costs, and from where they come."""

from __future__ import annotations

import pytest

from resharding.move_costs import HERE, STORE, Store, weight_transfer
from resharding.moves import on_hosts
from resharding.network import Network
from resharding.weight_layouts import (
    Holding,
    ModelWeights,
    changed_weights,
    holding,
    moves_of,
    numbered_devices,
)
from vocabulary.errors import Infeasible
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry

# A host takes 1 GB a second; inside a host nothing is slow.
NETWORK = Network(1e9, intra_bytes_per_s=1e12, latency_s=0.0)
GB = 10**9


def on_host(group: str, host: int, stage_bytes: tuple[int, ...], *, num_tensor: int = 1) -> Holding:
    return Holding(group, on_hosts((host,), num_tensor * len(stage_bytes)), stage_bytes)


def test_a_replica_gives_its_weights_at_the_speed_of_a_port() -> None:
    weights = ModelWeights("m", (on_host("g0", 0, (2 * GB,)),), (on_host("g1", 1, (2 * GB,)),))
    found = weight_transfer([weights], NETWORK, store=Store(0.5e9))
    assert found.origins == {"m": "replica on g0"}
    assert found.num_bytes == 2 * GB
    assert found.lower_bound_s == pytest.approx(2.0)
    assert found.seconds == pytest.approx(2.0, rel=0.01)


def test_a_store_that_is_faster_than_the_ports_is_taken() -> None:
    weights = ModelWeights("m", (on_host("g0", 0, (2 * GB,)),), (on_host("g1", 1, (2 * GB,)),))
    found = weight_transfer([weights], NETWORK, store=Store(4e9, latency_s=0.1))
    assert (found.origins, found.num_bytes) == ({"m": STORE}, 2 * GB)
    assert found.seconds == pytest.approx(0.6)


def test_eight_replicas_from_one_take_little_longer_than_one_and_a_shared_store_eight_times() -> None:
    targets = tuple(on_host(f"g{host}", host, (GB,)) for host in range(1, 9))
    weights = ModelWeights("m", (on_host("g0", 0, (GB,)),), targets)
    found = weight_transfer([weights], NETWORK, store=Store(2e9, total_bytes_per_s=2e9))
    assert found.origins == {"m": "replica on g0"}
    assert found.seconds == pytest.approx(1.0, rel=0.06)
    alone = weight_transfer([ModelWeights("m", (), targets)], NETWORK, store=Store(2e9, 2e9))
    assert alone.seconds == pytest.approx(4.0)


def test_two_replicas_share_the_work_of_feeding_others() -> None:
    holders = (on_host("g0", 0, (GB, GB)), on_host("g1", 1, (2 * GB,)))
    # Two hosts want a half each: one replica alone would need two seconds.
    target = Holding("g2", ((2, 0), (3, 0)), (GB, GB))
    found = weight_transfer([ModelWeights("m", holders, (target,))], NETWORK)
    assert found.seconds == pytest.approx(1.0, rel=0.01)
    assert found.origins == {"m": "replicas on g0, g1"}


def test_a_group_of_another_configuration_gets_each_byte_once() -> None:
    before = on_host("g0", 0, (3 * GB, GB), num_tensor=2)
    after = Holding("g1", ((1, 0), (2, 0), (3, 0), (4, 0)), (2 * GB,) * 4)
    found = weight_transfer([ModelWeights("m", (before,), (after,))], NETWORK)
    assert found.num_bytes == 8 * GB
    assert found.seconds == pytest.approx(8.0, rel=0.01)


def test_what_lies_on_the_host_already_does_not_cross() -> None:
    before, after = on_host("g0", 0, (GB, GB)), Holding("g1", ((0, 2), (0, 3)), (GB, GB))
    found = weight_transfer([ModelWeights("m", (before,), (after,))], NETWORK, store=Store(1e9))
    assert (found.origins, found.num_bytes) == ({"m": HERE}, 0)
    assert found.seconds == pytest.approx(1e9 / 1e12)
    nothing = weight_transfer([ModelWeights("m", (before,), (before,))], NETWORK)
    assert (nothing.seconds, nothing.num_bytes) == (0.0, 0)


def test_several_models_are_planned_together_each_from_its_best_origin() -> None:
    models = [
        ModelWeights("held", (on_host("g0", 0, (2 * GB,)),), (on_host("g1", 1, (2 * GB,)),)),
        ModelWeights("lost", (), (on_host("g1", 1, (GB,)),)),
        ModelWeights("kept", (on_host("g0", 0, (GB,)),), ()),
    ]
    found = weight_transfer(models, NETWORK, store=Store(0.5e9))
    assert found.origins == {"held": "replica on g0", "lost": STORE}
    assert found.num_bytes == 3 * GB
    assert found.seconds == pytest.approx(2.0, rel=0.01)


def test_ports_that_all_models_share_can_make_the_store_the_quicker_for_one_of_them() -> None:
    def weights(model: str) -> ModelWeights:
        return ModelWeights(model, (on_host("g0", 0, (GB,)),), (on_host("g1", 1, (GB,)),))

    # Alone each is there in 1 s from the replica and in 1.25 s from the store; both take 2 s or 2.5 s.
    found = weight_transfer([weights("a"), weights("b")], NETWORK, store=Store(0.8e9))
    assert sorted(found.origins.values()) == ["replica on g0", STORE]
    assert found.seconds == pytest.approx(1.25)


def test_a_model_that_nobody_holds_needs_a_store() -> None:
    with pytest.raises(Infeasible, match=r"no replica of m lives, and g1 need") as caught:
        weight_transfer([ModelWeights("m", (), (on_host("g1", 1, (GB,)),))], NETWORK)
    assert "store" in (caught.value.hint or "")


def test_a_group_of_a_placement_is_on_hosts_numbered_as_in_its_cluster() -> None:
    cluster = Cluster((NodeClass("n", 2, "gpu", 2, 16 * GB),))
    devices = numbered_devices(cluster)
    entry = ProfileEntry(ParallelConfig(1, 2), (3, 5), {1: (0, 0)}, {1: (0.1, 0.1)})
    group = Group("g0", ("n-0:1", "n-1:0"), ParallelConfig(1, 2), ("m",))
    assert holding(group, entry, devices) == Holding("g0", ((0, 1), (1, 0)), (3, 5))


def test_groups_that_stay_as_they_are_need_nothing_when_a_placement_changes() -> None:
    devices = numbered_devices(Cluster((NodeClass("n", 3, "gpu", 1, 16 * GB),)))
    one = ParallelConfig()
    entry = ProfileEntry(one, (GB,), {1: (0,)}, {1: (0.1,)})
    before = Placement((Group("g0", ("n-0:0",), one, ("a", "b")), Group("g1", ("n-1:0",), one, ("a",))))
    after = Placement((Group("g0", ("n-0:0",), one, ("a", "b")), Group("g1", ("n-2:0",), one, ("a",))))
    (only,) = changed_weights(before, after, entry_of=lambda *_: entry, devices=devices)
    assert (only.model, [each.group for each in only.holders]) == ("a", ["g0", "g1"])
    assert only.targets == (Holding("g1", ((2, 0),), (GB,)),)


def test_borders_of_stages_cut_the_bytes_of_a_model() -> None:
    weights = ModelWeights("m", (on_host("a", 0, (10, 30)),), (on_host("b", 1, (20, 20)),))
    assert [one.shape for one in moves_of(weights)] == [(10, 1), (10, 1), (20, 1)]
