"""Invariants of pages, and answers that depend on nothing but the request, on an engine with real pages."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.scheduling.toy_engine import END, answer_alone
from tests.scheduling.toy_shell import Ask, ToyShell
from vocabulary.generation import GenerationLimits

limits_drawn = st.builds(
    GenerationLimits,
    num_pages=st.integers(2, 16),
    page_tokens=st.integers(1, 4),
    max_batched_tokens=st.integers(1, 24),
    max_sequences=st.integers(1, 6),
    is_chunked=st.sampled_from([True, True, False]),
    reserves_output=st.sampled_from([False, False, True]),
    has_prefix_cache=st.booleans(),
    num_host_pages=st.sampled_from([0, 2, 5, 12]),
    eviction=st.sampled_from(["lru", "cost"]),
)
turn = st.lists(st.integers(1, 2), min_size=1, max_size=4).map(tuple)
asks_drawn = st.lists(
    st.builds(
        Ask,
        # Few different tokens, so that many prompts begin alike.
        prompt=st.lists(st.integers(1, 2), max_size=9).map(tuple),
        output_tokens=st.integers(1, 9),
        num_samples=st.sampled_from([1, 1, 2, 3]),
        more=st.one_of(st.just(()), st.tuples(turn)),
    ),
    min_size=1,
    max_size=7,
)

# Two stages: what is preempted when no step can be made comes back with the next, to the host and from it.
THERE_AND_BACK = GenerationLimits(3, page_tokens=2, max_batched_tokens=2, max_sequences=2, num_host_pages=8)
TWO_PROMPTS = [Ask((2, 1, 1, 2), 1), Ask((1, 2, 2), 2)]


def check_answers(shell: ToyShell, request_ids: Counter) -> None:
    """I5: what was said is what would be said alone."""
    for request_id in request_ids:
        ask = shell.asks[request_id]
        for sample in range(ask.num_samples):
            alone = answer_alone(
                ask.prompt or (END,),
                request_id=request_id,
                sample=sample,
                output_tokens=ask.output_tokens,
                num_stages=shell.num_stages,
            )
            assert shell.answer(request_id, sample) == alone


def check_empty(shell: ToyShell) -> None:
    scheduler = shell.scheduler
    assert scheduler.num_free_pages == shell.limits.num_pages
    assert scheduler.num_free_host_pages == shell.limits.num_host_pages


@settings(max_examples=250, deadline=None)
@given(limits_drawn, asks_drawn, st.integers(1, 2), st.booleans(), st.lists(st.integers(0, 2), max_size=8))
@example(THERE_AND_BACK, TWO_PROMPTS, 2, False, [])
@example(THERE_AND_BACK, TWO_PROMPTS, 2, True, [])
def test_every_answer_is_the_one_given_alone(limits, asks, num_stages, moves_at_once, arrivals) -> None:
    shell = ToyShell(limits, num_stages=num_stages, moves_at_once=moves_at_once)
    arriving = list(enumerate(asks))
    for num_arriving in arrivals:
        for request_id, ask in arriving[:num_arriving]:
            shell.push(ask, request_id)
        del arriving[:num_arriving]
        shell.turn()
    for request_id, ask in arriving:
        shell.push(ask, request_id)
    shell.run()
    assert shell.served == shell.firsts == Counter(list(shell.asks))
    check_answers(shell, shell.served)
    check_empty(shell)


@settings(max_examples=150, deadline=None)
@given(
    limits_drawn,
    asks_drawn,
    st.integers(1, 2),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6)), max_size=4),
    st.sets(st.integers(0, 20), max_size=2),
)
def test_those_that_leave_change_no_other_answer(limits, asks, num_stages, drops, failures) -> None:
    shell = ToyShell(limits, num_stages=num_stages)
    for request_id, ask in enumerate(asks):
        shell.push(ask, request_id)
    for number in range(5_000):
        for _, request_id in (one for one in drops if one[0] == number):
            shell.drop(request_id)
        if not shell.turn(fails=number in failures):
            break
    assert not any(shell.served[one] and shell.gone[one] for one in shell.asks)
    assert shell.served + shell.gone == Counter(list(shell.asks))
    check_answers(shell, shell.served)
    check_empty(shell)
