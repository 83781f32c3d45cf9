"""Requests whose group is lost: given to another once, at once, where that is predicted to be in time."""

from __future__ import annotations

import pytest

from scheduling.cluster import ClusterScheduler
from tests.scheduling.fleets import catalog_of, placement_of
from vocabulary.deployment import Policy
from vocabulary.messages import (
    Arrived,
    Begun,
    Cancelled,
    CatalogChanged,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupAdded,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
    Reply,
    Settled,
)
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S

CATALOG = catalog_of({"a": ({1: (1.0,)},), "b": ({1: (2.0,)},)})


def fleet(*, policy: Policy | None = None) -> ClusterScheduler:
    """Model a on g0 and g1, all open; requests take turns."""
    policy = policy or Policy(router="round_robin", admission="none")
    machine = ClusterScheduler(placement_of((1, "a"), (1, "a b")), catalog=CATALOG, policy=policy)
    after(machine, 0.0, GroupOpened(0), GroupOpened(1))
    return machine


def after(machine: ClusterScheduler, now_s: float, *events: ClusterEvent) -> list[ClusterCommand]:
    for event in events:
        machine.observe(event)
    return machine.decide(now_s)


def ask(request_id: int, slo_s: float = NEVER_S, deadline_s: float = NEVER_S) -> Request:
    return Request(request_id, "a", 0.0, slo_s, deadline_s)


def test_it_is_predicted_anew_behind_what_the_other_group_has() -> None:
    machine = fleet()
    after(machine, 0.0, *(Arrived(ask(index)) for index in range(3)))
    assert after(machine, 0.25, GroupLost(0)) == [Forward(ask(0), 1, 2.0), Forward(ask(2), 1, 3.0)]
    assert (machine.group_in_flight(1), machine.group_in_flight(1, "a"), machine.num_in_flight) == (3, 3, 3)


def test_the_slo_has_to_be_kept_where_it_is_kept_for_arrivals() -> None:
    machine = fleet(policy=Policy(router="round_robin"))
    after(machine, 0.0, Arrived(ask(0, slo_s=1.5)), Arrived(ask(1)))
    assert after(machine, 0.25, GroupLost(0)) == [Reply(0, Fate.UNAVAILABLE, 0)]


@pytest.mark.parametrize(("deadline_s", "is_given"), [(1.9, False), (2.0, True)])
def test_the_deadline_has_to_be_kept_whatever_is_admitted(deadline_s: float, is_given: bool) -> None:
    machine = fleet()
    request = ask(0, deadline_s=deadline_s)
    after(machine, 0.0, Arrived(request), Arrived(ask(1)))
    expected = Forward(request, 1, 2.0) if is_given else Reply(0, Fate.UNAVAILABLE, 0)
    assert after(machine, 0.25, GroupLost(0)) == [expected]


def test_given_again_and_begun_it_is_lost_with_the_second_group() -> None:
    machine = fleet()
    after(machine, 0.0, Arrived(ask(0)))
    after(machine, 0.25, GroupLost(0))
    assert after(machine, 0.5, Begun((0,)), GroupLost(1)) == [Reply(0, Fate.LOST, 1)]


def test_given_again_and_not_begun_it_is_not_given_a_third_time() -> None:
    machine = fleet()
    after(machine, 0.0, Arrived(ask(0)))
    after(machine, 0.25, GroupLost(0), GroupOpened(0))
    after(machine, 0.3, GroupOpened(0))
    assert after(machine, 0.5, GroupLost(1)) == [Reply(0, Fate.UNAVAILABLE, 1)]


def test_cancelled_in_the_instant_of_the_loss_it_goes_nowhere() -> None:
    machine = fleet()
    after(machine, 0.0, Arrived(ask(0)))
    assert after(machine, 0.25, GroupLost(0), Cancelled(0)) == [Reply(0, Fate.CANCELLED, 0)]
    assert machine.num_in_flight == 0


def test_its_place_in_the_queue_is_kept_through_the_loss() -> None:
    machine = fleet(policy=Policy(router="round_robin", admission="none", max_queued_requests=2))
    after(machine, 0.0, Arrived(ask(0)), Arrived(ask(1)))
    late = Request(9, "a", 0.25)
    assert after(machine, 0.25, GroupLost(0), Arrived(late)) == [
        Forward(ask(0), 1, 2.0),
        Reply(9, Fate.QUEUE_FULL),
    ]
    after(machine, 2.0, Settled(1, Fate.SERVED, 1.0), Settled(0, Fate.SERVED, 2.0))
    assert machine.num_in_flight == machine.group_in_flight(1) == 0
    assert isinstance(after(machine, 2.0, Arrived(late))[0], Forward)


def test_of_a_group_that_is_removed_nothing_is_left() -> None:
    machine = fleet()
    after(machine, 0.0, Arrived(ask(0)), Arrived(Request(1, "b", 0.0)), Begun((1,)))
    assert after(machine, 0.5, Begun((1,)), GroupRemoved(1)) == [Reply(1, Fate.LOST, 1)]
    assert after(machine, 0.5, Arrived(Request(2, "b", 0.5))) == [Reply(2, Fate.NOT_PLACED)]
    assert (machine.group_in_flight(1), machine.is_open(1)) == (0, False)
    assert after(machine, 0.5, GroupOpened(1), GroupLost(1), ReplicaOpened(1, "b")) == []


def test_a_replica_that_is_closed_while_its_group_is_lost_does_not_open_with_it() -> None:
    machine = fleet()
    after(machine, 0.0, GroupLost(1), ReplicaClosed(1, "b"))
    assert after(machine, 1.0, GroupOpened(1), Arrived(Request(0, "b", 1.0))) == [Reply(0, Fate.UNAVAILABLE)]
    assert after(machine, 1.0, ReplicaOpened(1, "b"), Arrived(Request(1, "b", 1.0))) == [
        Forward(Request(1, "b", 1.0), 1, 3.0)
    ]


def test_a_group_that_is_added_costs_what_models_cost_by_then() -> None:
    machine = fleet()
    slower = catalog_of({"a": ({1: (5.0,)},), "b": ({1: (2.0,)},)}, overhead_s=0.5)
    joining = placement_of((1, "x"), (1, "x"), (1, "a")).groups[2]
    after(machine, 0.0, CatalogChanged(slower), GroupAdded(2, joining), GroupOpened(2))
    commands = after(machine, 0.0, *(Arrived(ask(index)) for index in range(3)))
    assert [(one.group_index, one.predicted_finish_s) for one in commands] == [(0, 1.5), (1, 1.5), (2, 5.5)]


def test_a_group_that_is_lost_and_opens_in_one_instant_takes_requests() -> None:
    machine = fleet()
    after(machine, 0.0, Arrived(ask(0)), Arrived(ask(1)))
    assert after(machine, 0.25, Begun((0,)), GroupLost(0), GroupOpened(0)) == [Reply(0, Fate.LOST, 0)]
    assert machine.is_open(0)
    assert after(machine, 0.25, Arrived(ask(2))) == [Forward(ask(2), 0, 1.25)]


def test_what_is_told_of_a_group_after_its_loss_counts_in_its_order() -> None:
    machine = fleet()
    after(machine, 0.0, GroupLost(1), GroupOpened(1), ReplicaClosed(1, "a"))
    commands = after(machine, 0.0, Arrived(Request(0, "b", 0.0)), Arrived(ask(1)), Arrived(ask(2)))
    assert [one.group_index for one in commands] == [1, 0, 0]
    after(machine, 0.0, GroupOpened(1), GroupLost(1))
    assert not machine.is_open(1)


def test_a_replica_that_opens_again_costs_what_models_cost_by_then() -> None:
    machine = fleet()
    slower = catalog_of({"a": ({1: (5.0,)},), "b": ({1: (3.0,)},)})
    after(machine, 0.0, Arrived(Request(0, "b", 0.0)), CatalogChanged(slower))
    (before,) = after(machine, 0.0, Arrived(Request(1, "b", 0.0)))
    (reopened,) = after(machine, 0.0, ReplicaOpened(1, "b"), Arrived(Request(2, "b", 0.0)))
    assert (before.predicted_finish_s, reopened.predicted_finish_s) == (4.0, 7.0)
    after(machine, 7.0, *(Settled(index, Fate.SERVED, 7.0) for index in range(3)))
    assert machine.group_in_flight(1) == 0
