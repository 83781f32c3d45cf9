"""Continuous batching under drawn requests and limits: what holds after every step."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.generation import GenerationScheduler
from scheduling.queueing import ORDERS
from vocabulary.generation import GenerationLimits, Prefix
from vocabulary.request import Request

limits_drawn = st.builds(
    GenerationLimits,
    num_pages=st.integers(1, 12),
    page_tokens=st.integers(1, 4),
    max_batched_tokens=st.integers(1, 24),
    max_sequences=st.integers(1, 5),
    is_chunked=st.booleans(),
    reserves_output=st.booleans(),
    has_prefix_cache=st.booleans(),
)

# How many arrive before each step; after that, all.
arrivals_drawn = st.lists(st.integers(0, 3), max_size=12)


@st.composite
def requests_drawn(draw: st.DrawFn) -> list[Request]:
    """Prompts are paths of a small tree of blocks, so that some begin alike."""
    requests = []
    for index in range(draw(st.integers(1, 10))):
        path = draw(st.lists(st.integers(0, 1), max_size=4))
        hashes = tuple(hash((depth, *path[: depth + 1])) for depth in range(len(path)))
        block_tokens = 3
        input_tokens = len(path) * block_tokens + draw(st.integers(0, 5))
        lengths = {"input_tokens": input_tokens, "output_tokens": draw(st.integers(1, 8))}
        requests.append(Request(index, "m", 0.0, prefix=Prefix(hashes, block_tokens), **lengths))
    return requests


def check_pages(scheduler: GenerationScheduler) -> None:
    """I1: a page is free, or owned by all who name it. I2: only full pages of prompts are shared."""
    pool, prefixes = scheduler._pages._pool, scheduler._pages._prefixes
    tables = [sequence.pages for sequence in scheduler._running.sequences]
    named = Counter(page for table in tables for page in table)
    known = set(getattr(prefixes, "_key_of", ()))
    assert all(pool.num_owners(page) == named[page] + (page in known) for page in range(pool.num_pages))
    assert pool.num_free == pool.num_pages - len(set(named) | known)
    assert prefixes.num_unused == len(known - set(named))
    for sequence in scheduler._running.sequences:
        page_tokens = scheduler._limits.page_tokens
        num_full = sequence.request.input_tokens // page_tokens
        assert all(named[page] == 1 and page not in known for page in sequence.pages[num_full:])
        assert len(sequence.pages) * page_tokens == sequence.num_held >= sequence.num_cached


def written_pages(scheduler: GenerationScheduler, sequence, num_tokens: int) -> list[int]:
    page_tokens = scheduler._limits.page_tokens
    first, last = sequence.num_cached, sequence.num_cached + num_tokens - 1
    return sequence.pages[first // page_tokens : last // page_tokens + 1]


@settings(max_examples=300, deadline=None)
@given(limits_drawn, requests_drawn(), st.integers(1, 3), st.sampled_from(["fcfs", "edf"]), arrivals_drawn)
def test_every_request_is_answered_once_within_the_limits(
    limits, requests, num_stages, order, arrivals
) -> None:
    scheduler = GenerationScheduler(limits, order=ORDERS[order], num_stages=num_stages)
    arriving = deque(request for request in requests if scheduler.can_ever_run(request))
    emitted, first, finished = Counter(), Counter(), Counter()
    in_flight = deque()
    num_arriving = iter(arrivals)
    num_turns = 0
    while arriving or in_flight or scheduler.num_waiting or scheduler.num_running:
        num_turns += 1
        assert num_turns < 10_000, "no livelock"
        for _ in range(min(next(num_arriving, len(arriving)), len(arriving))):
            scheduler.push(arriving.popleft())
        step = scheduler.next_step() if len(in_flight) < num_stages else None
        check_pages(scheduler)
        if step is not None:
            # I4: the budget holds, and every sequence computes something.
            assert 0 < step.num_tokens == sum(step.slices) <= limits.max_batched_tokens
            assert min(step.slices) > 0
            assert scheduler.num_running <= limits.max_sequences
            assert step.num_kv_tokens == sum(sequence.num_cached for sequence in step.sequences)
            # I2: no page that is written has another owner.
            for sequence, num_tokens in zip(step.sequences, step.slices, strict=True):
                written = written_pages(scheduler, sequence, num_tokens)
                assert all(scheduler._pages._pool.num_owners(page) == 1 for page in written)
            in_flight.append(step)
        elif in_flight:
            done = in_flight.popleft()
            progress = scheduler.finish(done)
            emitted.update(s.request.id for s in done.sequences if s.num_cached >= s.prompt_tokens)
            first.update(progress.first_token_ids)
            finished.update(progress.finished_ids)
            check_pages(scheduler)
        else:
            # I4: with nothing in flight, whatever is there makes progress.
            assert scheduler.num_waiting == scheduler.num_running == 0
    answered = [request for request in requests if scheduler.can_ever_run(request)]
    assert finished == first == Counter(request.id for request in answered)
    assert emitted == Counter({request.id: request.output_tokens for request in answered})
    assert scheduler.num_free_pages == limits.num_pages
    check_work(scheduler, answered)


def check_work(scheduler: GenerationScheduler, answered: list[Request]) -> None:
    """Every token was computed once, but for those found in the cache and those lost to preemptions."""
    statistics = scheduler.statistics
    needed = sum(max(request.input_tokens, 1) + request.output_tokens - 1 for request in answered)
    assert statistics.num_tokens == needed + statistics.num_recomputed - statistics.num_hit
    assert statistics.num_emitted == sum(request.output_tokens for request in answered)
    if scheduler._limits.reserves_output:
        assert statistics.num_preempted == 0


@settings(max_examples=100, deadline=None)
@given(
    limits_drawn, requests_drawn(), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9))), st.booleans()
)
def test_what_is_dropped_leaves_nothing_behind(limits, requests, drops, failing) -> None:
    scheduler = GenerationScheduler(limits, order=ORDERS["fcfs"])
    asked = [request for request in requests if scheduler.can_ever_run(request)]
    for request in asked:
        scheduler.push(request)
    gone: list[int] = []
    for turn in range(10_000):
        dropped_now = [request_id for when, request_id in drops if when == turn]
        gone += [request_id for request_id in dropped_now if scheduler.drop(request_id)]
        step = scheduler.next_step()
        if step is None:
            break
        progress = scheduler.finish(step, failed=failing and turn == 3)
        gone += progress.dropped_ids + progress.failed_ids + progress.finished_ids
        check_pages(scheduler)
    assert sorted(gone) == sorted(request.id for request in asked)
    assert scheduler.num_free_pages == limits.num_pages
