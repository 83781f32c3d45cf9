"""The cluster machine: observe, decide, compare the commands."""

from __future__ import annotations

from itertools import permutations

import pytest

from scheduling.cluster import ClusterScheduler
from tests.scheduling.fleets import catalog_of, placement_of
from vocabulary.deployment import Policy
from vocabulary.messages import (
    Arrived,
    Begun,
    Cancelled,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupLost,
    GroupOpened,
    Reply,
    Settled,
    Withdraw,
)
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S

# Model a takes a second everywhere; b takes two, and only g1 holds it; z is on no group.
CATALOG = catalog_of({"a": ({1: (1.0,)},), "b": ({1: (2.0,)},), "z": ({1: (1.0,)},)})
PLACEMENT = placement_of((1, "a"), (1, "a b"))


def scheduler(*opened: int, overhead_s: float = 0.0, **policy) -> ClusterScheduler:
    """Two groups, of which the given ones are open (both, if none is given)."""
    catalog = CATALOG if not overhead_s else catalog_of({"a": ({1: (1.0,)},)}, overhead_s=overhead_s)
    placement = PLACEMENT if not overhead_s else placement_of((1, "a"))
    machine = ClusterScheduler(placement, catalog=catalog, policy=Policy(**policy))
    for index in opened or range(len(placement.groups)):
        machine.observe(GroupOpened(index))
    return machine


def after(machine: ClusterScheduler, now_s: float, *events: ClusterEvent) -> list[ClusterCommand]:
    for event in events:
        machine.observe(event)
    return machine.decide(now_s)


def ask(request_id: int, model: str = "a", arrival_s: float = 0.0, slo_s: float = NEVER_S) -> Arrived:
    return Arrived(Request(request_id, model, arrival_s, slo_s))


def test_an_arrival_is_forwarded_to_the_first_of_equal_groups() -> None:
    machine = scheduler()
    assert after(machine, 0.0, ask(0)) == [Forward(ask(0).request, 0, 1.0)]
    assert machine.num_in_flight == machine.group_in_flight(0) == 1


def test_the_next_one_goes_where_it_ends_first() -> None:
    machine = scheduler()
    commands = after(machine, 0.0, *(ask(index) for index in range(3)))
    assert [(c.group_index, c.predicted_finish_s) for c in commands] == [(0, 1.0), (1, 1.0), (0, 2.0)]


def test_arrivals_of_an_instant_are_placed_by_time_then_id() -> None:
    machine = scheduler()
    commands = after(machine, 1.0, ask(7, arrival_s=1.0), ask(3, arrival_s=1.0), ask(9, arrival_s=0.5))
    assert [command.request.id for command in commands] == [9, 3, 7]


def test_deciding_without_events_says_nothing() -> None:
    machine = scheduler()
    assert machine.decide(0.0) == []
    after(machine, 0.0, ask(0))
    assert machine.decide(0.0) == []
    assert machine.wake_s == NEVER_S


def test_a_model_on_no_group_is_not_placed() -> None:
    assert after(scheduler(), 0.0, ask(0, "z")) == [Reply(0, Fate.NOT_PLACED)]


def test_a_name_that_nobody_knows_is_not_placed() -> None:
    assert after(scheduler(), 0.0, ask(0, "nobody")) == [Reply(0, Fate.NOT_PLACED)]


def test_a_model_whose_groups_are_not_open_is_unavailable() -> None:
    assert after(scheduler(0), 0.0, ask(0, "b")) == [Reply(0, Fate.UNAVAILABLE)]


def test_a_group_takes_requests_in_the_instant_in_which_it_opens() -> None:
    machine = scheduler(0)
    assert not machine.is_open(1)
    assert after(machine, 0.0, ask(0, "b"), GroupOpened(1)) == [Forward(ask(0, "b").request, 1, 2.0)]
    assert machine.is_open(1)


def test_closed_groups_are_passed_over() -> None:
    machine = scheduler(1)
    assert [command.group_index for command in after(machine, 0.0, ask(0), ask(1))] == [1, 1]


def test_round_robin_counts_each_models_requests_alone() -> None:
    machine = scheduler(router="round_robin")
    commands = after(machine, 0.0, ask(0), ask(1, "b"), ask(2), ask(3))
    assert [command.group_index for command in commands] == [0, 1, 1, 0]


def test_what_would_end_late_is_refused_and_leaves_no_trace() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0), ask(1))
    assert after(machine, 0.0, ask(2, slo_s=1.5)) == [Reply(2, Fate.SLO_INFEASIBLE, 0)]
    assert machine.num_in_flight == 2
    assert after(machine, 0.0, ask(3, slo_s=2.0)) == [Forward(ask(3, slo_s=2.0).request, 0, 2.0)]


def test_slack_refuses_what_would_end_just_in_time() -> None:
    assert after(scheduler(slack_s=0.25), 0.0, ask(0, slo_s=1.25)) == [
        Forward(ask(0, slo_s=1.25).request, 0, 1.0)
    ]
    assert after(scheduler(slack_s=0.25), 0.0, ask(0, slo_s=1.2)) == [Reply(0, Fate.SLO_INFEASIBLE, 0)]


def test_the_fixed_overhead_counts_for_the_client_but_takes_no_stage() -> None:
    machine = scheduler(overhead_s=0.5)
    first, second, third = after(machine, 0.0, ask(0), ask(1), ask(2, slo_s=3.25))
    assert (first.predicted_finish_s, second.predicted_finish_s) == (1.5, 2.5)
    assert third == Reply(2, Fate.SLO_INFEASIBLE, 0)


def test_admitting_all_forwards_what_will_be_late() -> None:
    assert after(scheduler(admission="none"), 0.0, ask(0, slo_s=0.1)) == [
        Forward(ask(0, slo_s=0.1).request, 0, 1.0)
    ]


def test_a_full_queue_refuses_its_model_only() -> None:
    machine = scheduler(max_queued_requests=2)
    commands = after(machine, 0.0, ask(0), ask(1), ask(2), ask(3, "b"))
    assert commands[2] == Reply(2, Fate.QUEUE_FULL)
    assert commands[3] == Forward(ask(3, "b").request, 1, 3.0)


def test_a_settled_request_makes_room_in_the_queue() -> None:
    machine = scheduler(max_queued_requests=1)
    after(machine, 0.0, ask(0))
    commands = after(machine, 1.0, ask(1, arrival_s=1.0), Settled(0, Fate.SERVED, 1.0))
    assert commands == [Reply(0, Fate.SERVED, 0), Forward(ask(1, arrival_s=1.0).request, 0, 2.0)]


def test_settled_requests_are_answered_by_finish_then_id() -> None:
    machine = scheduler()
    after(machine, 0.0, *(ask(index) for index in range(4)))
    settled = [Settled(3, Fate.SERVED, 1.0), Settled(1, Fate.SERVED, 1.0), Settled(2, Fate.SERVED, 0.9)]
    assert after(machine, 1.0, *settled) == [
        Reply(2, Fate.SERVED, 0),
        Reply(1, Fate.SERVED, 1),
        Reply(3, Fate.SERVED, 1),
    ]


@pytest.mark.parametrize("fate", [Fate.FAILED, Fate.SLO_INFEASIBLE, Fate.INVALID])
def test_the_groups_word_is_the_answer(fate: Fate) -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    assert after(machine, 0.5, Settled(0, fate, 0.5)) == [Reply(0, fate, 0)]
    assert machine.num_in_flight == machine.group_in_flight(0) == 0


def test_a_request_is_answered_once_however_often_it_is_settled() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    twice = [Settled(0, Fate.SERVED, 1.0), Settled(0, Fate.SERVED, 1.0)]
    assert after(machine, 1.0, *twice) == [Reply(0, Fate.SERVED, 0)]
    assert after(machine, 2.0, Settled(0, Fate.FAILED, 2.0)) == []


def test_a_late_group_is_predicted_late() -> None:
    machine = scheduler(0)
    after(machine, 0.0, ask(0), ask(1))
    after(machine, 1.5, Settled(0, Fate.SERVED, 1.5))
    assert after(machine, 1.5, ask(2, arrival_s=1.5))[0].predicted_finish_s == 3.5


def test_cancelled_before_it_was_forwarded_it_never_is() -> None:
    machine = scheduler()
    assert after(machine, 0.0, ask(0), ask(1), Cancelled(0)) == [
        Reply(0, Fate.CANCELLED),
        Forward(ask(1).request, 0, 1.0),
    ]
    assert machine.num_in_flight == 1


def test_cancelled_after_it_was_forwarded_it_is_withdrawn_and_answered_at_once() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    assert after(machine, 0.25, Cancelled(0)) == [Withdraw(0, 0), Reply(0, Fate.CANCELLED, 0)]


def test_a_cancelled_request_holds_its_place_until_the_group_lets_go() -> None:
    machine = scheduler(max_queued_requests=1)
    after(machine, 0.0, ask(0))
    after(machine, 0.25, Cancelled(0))
    assert machine.group_in_flight(0) == 1
    assert after(machine, 0.25, ask(1, arrival_s=0.25)) == [Reply(1, Fate.QUEUE_FULL)]
    assert after(machine, 1.0, Settled(0, Fate.SERVED, 1.0)) == []
    assert machine.num_in_flight == machine.group_in_flight(0) == 0


def test_cancelling_twice_or_what_is_done_says_nothing() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0), ask(1))
    after(machine, 0.25, Cancelled(0), Cancelled(0))
    assert after(machine, 0.5, Cancelled(0)) == []
    after(machine, 1.0, Settled(1, Fate.SERVED, 1.0))
    assert after(machine, 1.5, Cancelled(1), Cancelled(99)) == []


def test_settled_and_cancelled_in_one_instant_is_served() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    assert after(machine, 1.0, Cancelled(0), Settled(0, Fate.SERVED, 1.0)) == [Reply(0, Fate.SERVED, 0)]


def test_what_a_lost_group_had_begun_is_lost_and_what_it_had_not_goes_elsewhere() -> None:
    machine = scheduler()
    after(machine, 0.0, *(ask(index) for index in range(4)), Begun((0, 1)))
    after(machine, 0.0, Begun((0, 1)))
    assert after(machine, 0.5, GroupLost(0)) == [Reply(0, Fate.LOST, 0), Forward(ask(2).request, 1, 3.0)]
    assert not machine.is_open(0)
    assert (machine.group_in_flight(0), machine.group_in_flight(1), machine.num_in_flight) == (0, 3, 3)


def test_arrivals_in_the_instant_of_a_loss_go_elsewhere() -> None:
    machine = scheduler()
    commands = after(machine, 0.0, ask(0), GroupLost(0), ask(1))
    assert [command.group_index for command in commands] == [1, 1]
    assert after(machine, 0.0, GroupLost(1), ask(2))[-1] == Reply(2, Fate.UNAVAILABLE)


def test_a_cancelled_request_of_a_lost_group_is_not_answered_again() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    after(machine, 0.25, Cancelled(0))
    assert after(machine, 0.5, GroupLost(0)) == []
    assert machine.num_in_flight == 0


def test_what_a_lost_group_settles_afterwards_is_ignored() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    after(machine, 0.5, Begun((0,)), GroupLost(0))
    assert after(machine, 1.0, Settled(0, Fate.SERVED, 1.0)) == []
    assert machine.group_in_flight(0) == 0
    after(machine, 1.0, GroupOpened(0))
    assert after(machine, 1.0, ask(1, arrival_s=1.0))[0].predicted_finish_s == 2.0


def test_settled_in_the_instant_of_the_loss_is_served() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0), ask(1), ask(2))
    assert after(machine, 1.0, GroupLost(0), Begun((2,)), Settled(0, Fate.SERVED, 1.0)) == [
        Reply(0, Fate.SERVED, 0),
        Reply(2, Fate.LOST, 0),
    ]


def test_a_group_that_opens_again_starts_idle() -> None:
    machine = scheduler()
    after(machine, 0.0, *(ask(index) for index in range(8)))
    after(machine, 0.5, GroupLost(0))
    assert after(machine, 1.0, ask(8, arrival_s=1.0))[0].group_index == 1
    assert after(machine, 2.0, GroupOpened(0)) == []
    assert after(machine, 2.0, ask(9, arrival_s=2.0)) == [Forward(ask(9, arrival_s=2.0).request, 0, 3.0)]


def test_what_a_lost_group_held_makes_room_in_the_queue() -> None:
    machine = scheduler(max_queued_requests=1)
    after(machine, 0.0, ask(0))
    after(machine, 0.5, GroupLost(0), Begun((0,)))
    assert after(machine, 0.5, ask(1, arrival_s=0.5)) == [Forward(ask(1, arrival_s=0.5).request, 1, 1.5)]


def test_losing_a_group_twice_is_losing_it_once() -> None:
    machine = scheduler()
    after(machine, 0.0, ask(0))
    assert after(machine, 0.5, GroupLost(0), GroupLost(0)) == [Forward(ask(0).request, 1, 1.5)]
    assert after(machine, 0.75, GroupLost(0)) == []


INSTANTS: tuple[tuple[ClusterEvent, ...], ...] = (
    (ask(10, arrival_s=1.0), ask(11, "b", arrival_s=1.0), ask(12, slo_s=0.1, arrival_s=1.0), Cancelled(10)),
    (Settled(0, Fate.SERVED, 1.0), Settled(1, Fate.SERVED, 1.0), Cancelled(2), ask(10, arrival_s=1.0)),
    (Settled(0, Fate.FAILED, 1.0), Settled(2, Fate.SERVED, 0.9), GroupLost(0), ask(10, "b", arrival_s=1.0)),
    (GroupLost(0), GroupLost(1), ask(10, arrival_s=1.0), Cancelled(1), Settled(1, Fate.SERVED, 1.0)),
    (Cancelled(0), Cancelled(2), Cancelled(0), Settled(0, Fate.CANCELLED, 1.0), ask(10, arrival_s=1.0)),
    (GroupOpened(0), GroupLost(1), ask(10, arrival_s=1.0), ask(11, "b", arrival_s=1.0)),
    (GroupOpened(0), Settled(0, Fate.SERVED, 1.0), ask(10, arrival_s=1.0)),
    (Begun((0, 1)), GroupLost(0), Cancelled(2), ask(10, "b", arrival_s=1.0)),
)


@pytest.mark.parametrize("events", INSTANTS)
def test_the_order_of_events_within_an_instant_does_not_matter(events: tuple[ClusterEvent, ...]) -> None:
    answers = set()
    for order in permutations(events):
        machine = scheduler(max_queued_requests=3)
        after(machine, 0.0, *(ask(index) for index in range(3)))
        commands = after(machine, 1.0, *order)
        # What it says next shows what it believes.
        answers.add((*commands, *after(machine, 2.0, ask(20, arrival_s=2.0), ask(21, "b", arrival_s=2.0))))
    assert len(answers) == 1
