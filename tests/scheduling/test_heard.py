"""What heartbeats say of other front ends' requests, and that they say nothing where there are none."""

from __future__ import annotations

from scheduling.cluster import ClusterScheduler
from scheduling.generation_costs import GenerationCosts
from scheduling.generation_load import GenerationLoad
from scheduling.heard import hear
from scheduling.load import GroupLoad
from tests.scheduling.fleets import catalog_of, placement_of
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.messages import Arrived, Forward, GroupHeard, GroupOpened, Reply, Settled
from vocabulary.request import Fate, Request

ONE = (1.0,)
CATALOG = catalog_of({"a": ({1: (1.0,)},)})
PLACEMENT = placement_of((1, "a"), (1, "a"))


def scheduler(**policy: object) -> ClusterScheduler:
    machine = ClusterScheduler(PLACEMENT, catalog=CATALOG, policy=Policy(**policy))
    for index in range(2):
        machine.observe(GroupOpened(index))
    return machine


def taken(num_taken: int) -> GroupLoad:
    load = GroupLoad(0, 1)
    for _ in range(num_taken):
        load.take(0.0, ONE)
    return load


def generation_load() -> GenerationLoad:
    limits = GenerationLimits(num_pages=100, page_tokens=4, max_batched_tokens=64, max_sequences=2)
    return GenerationLoad(GenerationCosts((StepTimes(0.01, 1e-4, 1e-6),), limits))


def test_a_beat_of_own_requests_alone_changes_nothing() -> None:
    load = taken(3)
    load.heard(0.5, backlog_s=9.0, num_held=3)
    assert load.clock.free_s == [3.0]
    assert load.num_held == load.num_in_flight == 3


def test_a_beat_with_others_requests_says_when_the_group_is_free() -> None:
    load = taken(1)
    load.heard(0.5, backlog_s=4.5, num_held=5)
    assert load.clock.free_s == [5.0]
    assert load.num_held == 5
    assert load.take(0.5, ONE) == 6.0


def test_earlier_stages_are_not_believed_taken_for_longer_than_the_last() -> None:
    load = GroupLoad(0, 2)
    load.take(0.0, (3.0, 3.0))
    load.heard(1.0, backlog_s=1.0, num_held=2)
    assert load.clock.free_s == [2.0, 2.0]


def test_own_completions_do_not_move_what_was_heard_of_others() -> None:
    load = taken(2)
    load.heard(0.5, backlog_s=6.0, num_held=7)
    load.served(3.0)
    load.served(4.0)
    assert load.clock.free_s == [6.5]


def test_alone_again_completions_count_from_what_is_believed_then() -> None:
    load = taken(2)
    load.heard(0.5, backlog_s=6.0, num_held=7)
    load.heard(4.0, backlog_s=2.0, num_held=2)
    assert load.clock.free_s == [6.0]
    load.served(5.0)
    assert load.clock.free_s == [6.0]
    load.served(6.5)
    assert load.clock.free_s == [6.5]


def test_a_lost_group_is_empty_of_others_too() -> None:
    load = taken(1)
    load.heard(0.5, backlog_s=6.0, num_held=7)
    load.lost()
    assert load.num_held == 0
    assert load.clock.free_s == [0.0]


def test_arrivals_go_where_others_are_not() -> None:
    machine = scheduler()
    machine.observe(GroupHeard(0, 3.0, 3, 0.0))
    machine.observe(Arrived(Request(0, "a", 0.0)))
    assert machine.decide(0.0) == [Forward(Request(0, "a", 0.0), 1, 1.0)]


def test_the_least_loaded_group_is_that_with_fewest_requests_of_all() -> None:
    machine = scheduler(router="least_loaded")
    machine.observe(GroupHeard(0, 0.1, 3, 0.0))
    machine.observe(Arrived(Request(0, "a", 0.0)))
    assert [command.group_index for command in machine.decide(0.0)] == [1]


def test_a_request_that_others_leave_no_time_for_is_refused() -> None:
    machine = scheduler()
    for index in range(2):
        machine.observe(GroupHeard(index, 3.0, 3, 0.0))
    machine.observe(Arrived(Request(0, "a", 0.0, 2.0)))
    assert machine.decide(0.0) == [Reply(0, Fate.SLO_INFEASIBLE, 0)]


def test_what_is_settled_within_the_instant_of_a_beat_is_none_of_others() -> None:
    machine = scheduler()
    machine.observe(Arrived(Request(0, "a", 0.0)))
    machine.decide(0.0)
    # The beat came before the answer by the same link: the group had the request still.
    machine.observe(GroupHeard(0, 0.0, 1, 1.0))
    machine.observe(Settled(0, Fate.SERVED, 1.0))
    assert machine.decide(1.0) == [Reply(0, Fate.SERVED, 0)]
    machine.observe(Arrived(Request(1, "a", 1.0)))
    assert machine.decide(1.0) == [Forward(Request(1, "a", 1.0), 0, 2.0)]


def test_others_answers_count_as_long_as_own_ones_were() -> None:
    alone, shared = generation_load(), generation_load()
    request = Request(0, "m", 0.0, input_tokens=100, output_tokens=50)
    for load in (alone, shared):
        load.add(request)
    shared.heard(3)
    alone.add(request)
    alone.add(request)
    assert shared.company == alone.company
    assert shared.capacity == alone.capacity
    assert shared.queue_s == alone.queue_s
    shared.heard(1)
    shared.remove(request)
    assert shared.company == generation_load().company


def test_a_group_that_generates_keeps_its_clocks() -> None:
    load = taken(1)
    hear(GroupHeard(0, 9.0, 5, 0.0, (("m", 5),)), load, {})
    assert load.clock.free_s == [1.0]
    assert load.num_held == 5
