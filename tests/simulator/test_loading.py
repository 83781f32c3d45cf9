"""When groups open after a change of placement, in the same model of the network that re-placement uses."""

from __future__ import annotations

import numpy as np
import pytest

from resharding.move_costs import Store
from resharding.network import Network
from simulator.fast_or_events import outcomes_of
from simulator.loading import opening_times_s
from simulator.simulate import simulate
from tests.placement.fleets import deployment, model
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.trace import Trace

ONE, TWO = ParallelConfig(1, 1), ParallelConfig(2, 1)
GB = 10**9
FLEET = deployment(model("m", 4 * GB, (1, 1), (2, 1)), num_hosts=3, num_devices=2, memory_bytes=16 * GB)
HOLDER = Group("g0", ("n-0:0",), ONE, ("m",))
NEW = Group("g1", ("n-1:0", "n-1:1"), TWO, ("m",))
ASKED = Trace(np.arange(10, dtype=float), np.zeros(10, dtype=np.int32), ("m",))


def opens_s(old: Placement, new: Placement, store: Store | None) -> tuple[float, ...]:
    return opening_times_s(old, new, deployment=FLEET, network=Network(2e9, latency_s=0.0), store=store)


def test_weights_come_from_a_living_replica_or_from_the_store_whichever_is_sooner() -> None:
    old, new = Placement((HOLDER,)), Placement((NEW,))
    assert opens_s(old, new, None) == pytest.approx([2.0], rel=0.01)
    assert opens_s(old, new, Store(1e9)) == pytest.approx([2.0], rel=0.01)
    assert opens_s(old, new, Store(4e9)) == pytest.approx([1.0])


def test_a_group_that_stays_as_it_is_is_open_all_the_time() -> None:
    old, new = Placement((HOLDER,)), Placement((HOLDER, NEW))
    assert opens_s(old, new, None) == pytest.approx([0.0, 2.0], rel=0.01)


def test_what_no_group_holds_comes_from_the_store() -> None:
    nothing, new = Placement(()), Placement((NEW,))
    assert opens_s(nothing, new, Store(1e9, latency_s=0.5)) == pytest.approx([4.5])
    with pytest.raises(Infeasible, match="no replica of m lives"):
        opens_s(nothing, new, None)


def test_nothing_is_served_by_a_group_before_it_opens() -> None:
    outcomes = simulate(Placement((NEW,)), ASKED, deployment=FLEET, opens_s=(3.5,))
    assert outcomes.served.tolist() == [False] * 4 + [True] * 6


def test_the_groups_that_are_open_serve_for_those_that_are_not() -> None:
    both = Placement((HOLDER, NEW))
    outcomes = simulate(both, ASKED, deployment=FLEET, opens_s=(0.0, 3.5))
    assert outcomes.served.all()
    assert outcomes.group_index[:4].tolist() == [0] * 4
    assert 1 in outcomes.group_index[4:]


def test_the_compiled_engine_refuses_what_it_does_not_know() -> None:
    with pytest.raises(InvalidInput, match="all groups open"):
        outcomes_of(Placement((NEW,)), ASKED, deployment=FLEET, engine="fast", opens_s=(1.0,))
