"""How long a replica loads, in the same model of the network that re-placement uses."""

from __future__ import annotations

import pytest

from resharding.move_costs import Store
from resharding.network import Network
from simulator.loading import loading_time_s
from vocabulary.errors import Infeasible
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of

GB = 10**9
CLUSTER = Cluster((NodeClass("n", 3, "gpu", 2, 16 * GB),))
ONE, TWO = ParallelConfig(1, 1), ParallelConfig(2, 1)
PROFILE = profile_of(
    "m",
    "gpu",
    [
        ProfileEntry(ONE, (4 * GB,), {1: (0,)}, {1: (0.1,)}),
        ProfileEntry(TWO, (2 * GB,), {1: (0,)}, {1: (0.06,)}),
    ],
    provenance=Provenance(),
)
HOLDER = Group("g0", ("n-0:0",), ONE, ("m",))
NEW = Group("g1", ("n-1:0", "n-1:1"), TWO, ())


def loading(living: Placement, store: Store | None) -> float:
    return loading_time_s(
        ["m"],
        NEW,
        profiles={"m": PROFILE},
        living=living,
        cluster=CLUSTER,
        network=Network(2e9, latency_s=0.0),
        store=store,
    )


def test_a_group_loads_from_a_living_replica_or_from_the_store_whichever_is_sooner() -> None:
    living = Placement((HOLDER,))
    assert loading(living, None) == pytest.approx(2.0, rel=0.01)
    assert loading(living, Store(1e9)) == pytest.approx(2.0, rel=0.01)
    assert loading(living, Store(4e9)) == pytest.approx(1.0)


def test_a_group_loads_from_the_store_what_no_group_holds() -> None:
    assert loading(Placement(()), Store(1e9, latency_s=0.5)) == pytest.approx(4.5)
    with pytest.raises(Infeasible, match="no replica of m lives"):
        loading(Placement(()), None)
