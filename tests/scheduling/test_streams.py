"""Both machines under random streams of events: every request gets one answer, whatever the world does."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.queueing import ORDERS
from tests.scheduling.fleets import catalog_of, placement_of
from tests.scheduling.rough_shell import Line, Story, play
from vocabulary.deployment import Policy
from vocabulary.messages import Reply, RunBatch, Settle
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S

MODELS = "aaabbz"  # z is on no group
CATALOG = catalog_of(
    {
        "a": ({1: (0.5,), 2: (0.75,), 4: (1.0,)}, {1: (0.25, 0.5), 2: (0.5, 0.75)}),
        "b": ({1: (1.0,)}, {1: (1.0, 0.25), 2: (1.5, 0.25), 4: (2.0, 0.5)}),
    },
)
PLACEMENT = placement_of((1, "a b"), (2, "b a"), (1, "a"))
# Seconds on a coarse grid, so that events tie, or anywhere; short enough for queues to build up.
TIMES_S = st.one_of(st.integers(0, 8).map(lambda ticks: ticks / 4), st.floats(0, 2, allow_nan=False))
POLICIES = st.builds(
    Policy,
    router=st.sampled_from(["round_robin", "least_loaded", "min_stage_clock", "shortest_expected_delay"]),
    queue=st.sampled_from(sorted(ORDERS)),
    admission=st.sampled_from(["none", "slo"]),
    slack_s=st.sampled_from([0.0, 0.25, -1.0]),
    batching=st.sampled_from(["none", "deadline"]),
    max_batch_size=st.integers(1, 4),
    max_queued_requests=st.sampled_from([2, 100]),
)


@st.composite
def requests(draw) -> tuple[Request, ...]:
    num_requests = draw(st.integers(1, 24))  # left alone, lists are mostly short
    arrivals_s = sorted(draw(st.lists(TIMES_S, min_size=num_requests, max_size=num_requests)))
    slos_s = st.sampled_from([0.5, 1.0, 2.0, 2.75, NEVER_S])
    return tuple(
        Request(index, draw(st.sampled_from(MODELS)), arrival_s, draw(slos_s))
        for index, arrival_s in enumerate(arrivals_s)
    )


@st.composite
def stories(draw, *, with_losses: bool = True) -> Story:
    asked = draw(requests())
    leavers = draw(st.dictionaries(st.integers(0, len(asked) - 1), TIMES_S, max_size=8))
    cancels = {index: asked[index].arrival_s + delay_s for index, delay_s in leavers.items()}
    losses = st.tuples(st.integers(0, 2), TIMES_S, st.sampled_from([0.25, 1.0, 3.0]))
    return Story(
        asked,
        cancels=cancels,
        losses=tuple((g, at, at + gap) for g, at, gap in draw(st.lists(losses, max_size=3 * with_losses))),
        speeds=tuple(draw(st.lists(st.sampled_from([1.0, 1.0, 0.5, 2.0, 0.0]), min_size=1, max_size=5))),
        link_s=draw(st.sampled_from([0.0, 0.25, 0.4])),
    )


def lines_of(story: Story, policy: Policy, *, shuffle_seed: int = 0) -> list[Line]:
    return play(story, PLACEMENT, catalog=CATALOG, policy=policy, shuffle_seed=shuffle_seed)


@settings(deadline=None, max_examples=300)
@given(stories(), POLICIES)
def test_every_request_gets_one_answer_in_a_rough_world(story: Story, policy: Policy) -> None:
    # `play` checks at every step that a batch starts on a free stage only, holds one model and no more than
    # allowed, that what is settled was there, that no stage idles while work waits; and at the end that every
    # request was answered once and nothing is in flight.
    lines_of(story, policy)


@settings(deadline=None, max_examples=150)
@given(stories(), POLICIES, st.integers(1, 1000))
def test_the_order_of_events_within_an_instant_changes_nothing(
    story: Story, policy: Policy, seed: int
) -> None:
    assert lines_of(story, policy) == lines_of(story, policy, shuffle_seed=seed)


@settings(deadline=None, max_examples=100)
@given(stories(with_losses=False), POLICIES)
def test_only_a_fleet_that_keeps_objectives_drops_what_is_late(story: Story, policy: Policy) -> None:
    refused = [
        line
        for line in lines_of(story, policy)
        if isinstance(line.command, Reply | Settle) and line.command.fate is Fate.SLO_INFEASIBLE
    ]
    assert not refused or policy.admission == "slo"


@settings(deadline=None, max_examples=100)
@given(requests(), st.sampled_from(sorted(ORDERS)))
def test_of_what_waits_the_first_in_order_starts_first(asked: tuple[Request, ...], queue: str) -> None:
    # All at once on one group: after the first, batches start in the order of the queue.
    burst = tuple(Request(r.id, "a", 0.0, r.slo_s) for r in asked)
    policy = Policy(queue=queue, admission="none")
    lines = play(Story(burst), placement_of((1, "a")), catalog=CATALOG, policy=policy, shuffle_seed=0)
    started = [line.command.batch.requests[0] for line in lines if isinstance(line.command, RunBatch)]
    assert len(started) == len(burst)
    assert all(ORDERS[queue](one) <= ORDERS[queue](other) for one, other in pairwise(started))


@settings(deadline=None, max_examples=100)
@given(requests(), POLICIES)
def test_what_a_fleet_takes_is_in_time_where_profiles_are_exact(
    asked: tuple[Request, ...], policy: Policy
) -> None:
    # First come first served, one at a time: the prediction at admission is the end, whatever the router.
    exact = Policy(router=policy.router, max_queued_requests=policy.max_queued_requests)
    by_id = {request.id: request for request in asked}
    for line in lines_of(Story(asked), exact):
        match line.command:
            case Settle(request_ids, fate):
                assert fate is Fate.SERVED
                assert all(by_id[request_id].is_in_time(line.time_s) for request_id in request_ids)
