"""Continuous batching, decision by decision."""

from __future__ import annotations

import pytest

from tests.scheduling.generating import asked, run, scheduler_of, slices
from vocabulary.generation import Prefix


def test_a_prompt_is_computed_and_then_one_token_a_step() -> None:
    assert run(scheduler_of(asked(0, 5, 3))) == [[(0, 5)], [(0, 1)], [(0, 1)]]


def test_the_first_token_comes_with_the_last_of_the_prompt() -> None:
    scheduler = scheduler_of(asked(0, 20, 2))
    progress = [scheduler.finish(scheduler.next_step()) for _ in range(3)]
    assert [one.num_emitted for one in progress] == [0, 1, 1]
    assert [one.first_token_ids for one in progress] == [(), (0,), ()]
    assert [one.finished_ids for one in progress] == [(), (), (0,)]


def test_decoding_goes_before_prompts_and_a_prompt_takes_the_budget_left() -> None:
    scheduler = scheduler_of(asked(0, 4, 3), asked(1, 30, 1))
    assert run(scheduler) == [[(0, 4), (1, 12)], [(0, 1), (1, 15)], [(0, 1), (1, 3)]]


def test_without_chunks_a_prompt_waits_until_it_fits_and_nobody_overtakes() -> None:
    scheduler = scheduler_of(asked(0, 4, 2), asked(1, 14, 1), asked(2, 1, 1), is_chunked=False)
    assert run(scheduler) == [[(0, 4)], [(0, 1), (1, 14), (2, 1)]]


def test_as_many_run_as_sequences_are_allowed() -> None:
    scheduler = scheduler_of(*(asked(index, 1, 2) for index in range(3)), max_sequences=2)
    assert run(scheduler) == [[(0, 1), (1, 1)], [(0, 1), (1, 1)], [(2, 1)], [(2, 1)]]


def test_the_step_says_what_it_computes_and_what_is_cached() -> None:
    scheduler = scheduler_of(asked(0, 5, 3), asked(1, 2, 2))
    first = scheduler.next_step()
    assert (first.num_tokens, first.num_kv_tokens) == (7, 0)
    scheduler.finish(first)
    second = scheduler.next_step()
    assert (second.num_tokens, second.num_kv_tokens) == (2, 7)


def test_the_sequence_admitted_last_gives_its_pages_back_and_is_computed_again() -> None:
    # Two pages each; the fifth token of either needs a third one.
    scheduler = scheduler_of(asked(0, 8, 4), asked(1, 8, 4), num_pages=4)
    assert run(scheduler) == [
        [(0, 8), (1, 8)],
        [(0, 1)],  # takes a page of 1, which waits; nobody is admitted in this step
        [(0, 1)],  # 9 tokens of 1 take three pages, one is free
        [(0, 1)],
        [(1, 9)],  # what it had emitted is part of its prompt
        [(1, 1)],
        [(1, 1)],
    ]
    assert scheduler.statistics.num_preempted == 1
    assert scheduler.statistics.num_recomputed == 8
    assert scheduler.statistics.num_emitted == 8


def test_the_last_may_preempt_itself() -> None:
    scheduler = scheduler_of(asked(0, 4, 4), asked(1, 7, 3), num_pages=4)
    assert run(scheduler)[:3] == [[(0, 4), (1, 7)], [(0, 1), (1, 1)], [(0, 1)]]
    assert scheduler.statistics.num_preempted == 1


def test_preempted_sequences_return_in_their_order_before_those_that_wait() -> None:
    scheduler = scheduler_of(
        asked(0, 4, 9), asked(1, 4, 2), asked(2, 4, 2), asked(3, 4, 2), num_pages=3, max_batched_tokens=12
    )
    first = scheduler.next_step()
    assert slices(first) == [(0, 4), (1, 4), (2, 4)]
    scheduler.finish(first)
    second = scheduler.next_step()  # 0 takes the page of 2; 1 has none left to take and waits as well
    assert slices(second) == [(0, 1)]
    assert scheduler.head().id == 1
    assert scheduler.num_waiting == 3


def test_pages_reserved_for_the_answer_are_never_taken_back() -> None:
    limits = {"num_pages": 4, "reserves_output": True}
    scheduler = scheduler_of(asked(0, 4, 5), asked(1, 4, 5), asked(2, 4, 5), **limits)
    assert run(scheduler)[0] == [(0, 4), (1, 4)]
    assert scheduler.statistics.num_preempted == 0


def test_a_known_beginning_is_not_computed_again() -> None:
    prefix = Prefix((11, 12), block_tokens=8)
    scheduler = scheduler_of(asked(0, 19, 1, prefix=prefix), has_prefix_cache=True, max_batched_tokens=32)
    assert run(scheduler) == [[(0, 19)]]
    scheduler.push(asked(1, 21, 1, prefix=Prefix((11, 12), block_tokens=8)))
    step = scheduler.next_step()
    assert slices(step) == [(1, 5)]
    assert step.num_kv_tokens == 16
    assert scheduler.statistics.num_hit == 16


def test_at_least_one_token_of_a_known_prompt_is_computed() -> None:
    prefix = Prefix((11, 12), block_tokens=4)
    scheduler = scheduler_of(
        asked(0, 8, 1, prefix=prefix), asked(1, 8, 1, prefix=prefix), has_prefix_cache=True
    )
    assert run(scheduler) == [[(0, 8), (1, 8)]]
    scheduler.push(asked(2, 8, 1, prefix=prefix))
    assert run(scheduler) == [[(2, 4)]]


def test_unused_prefixes_make_room_before_anybody_is_preempted() -> None:
    prefix = Prefix((11, 12), block_tokens=4)
    scheduler = scheduler_of(asked(0, 8, 1, prefix=prefix), has_prefix_cache=True, num_pages=3)
    run(scheduler)
    scheduler.push(asked(1, 4, 9))
    assert len(run(scheduler)) == 9
    assert scheduler.statistics.num_preempted == 0
    scheduler.push(asked(2, 8, 1, prefix=prefix))
    assert run(scheduler) == [[(2, 8)]]  # both pages were evicted


def test_the_earliest_deadline_is_admitted_first() -> None:
    late, soon = asked(0, 4, 1, slo_s=9.0), asked(1, 4, 1, slo_s=1.0)
    assert run(scheduler_of(late, soon, order="edf")) == [[(1, 4), (0, 4)]]


def test_a_request_larger_than_the_limits_can_never_run() -> None:
    scheduler = scheduler_of(num_pages=2)
    assert scheduler.can_ever_run(asked(0, 8, 1))
    assert not scheduler.can_ever_run(asked(0, 8, 2))
    with pytest.raises(AssertionError):
        scheduler.push(asked(0, 8, 2))


def test_without_chunks_a_request_that_could_not_be_computed_again_can_never_run() -> None:
    scheduler = scheduler_of(is_chunked=False)
    assert scheduler.can_ever_run(asked(0, 12, 5))
    assert not scheduler.can_ever_run(asked(0, 12, 6))
    assert scheduler_of(is_chunked=False, reserves_output=True).can_ever_run(asked(0, 12, 6))


def test_steps_of_two_stages_overlap_on_halves_of_the_sequences() -> None:
    scheduler = scheduler_of(*(asked(index, 1, 3) for index in range(4)), num_stages=2)
    first = scheduler.next_step()
    assert scheduler.next_step() is None
    scheduler.finish(first)
    second, third = scheduler.next_step(), scheduler.next_step()
    assert (slices(second), slices(third)) == ([(0, 1), (1, 1)], [(2, 1), (3, 1)])
    assert scheduler.next_step() is None
    scheduler.finish(second)
    assert slices(scheduler.next_step()) == [(0, 1), (1, 1)]


def test_a_sequence_in_another_step_is_not_preempted_and_the_one_before_it_waits_with_its_pages() -> None:
    scheduler = scheduler_of(asked(0, 4, 4), asked(1, 4, 4), num_stages=2, num_pages=2, max_batched_tokens=4)
    first, second = scheduler.next_step(), scheduler.next_step()
    assert (slices(first), slices(second)) == ([(0, 4)], [(1, 4)])
    scheduler.finish(first)
    assert scheduler.next_step() is None
    assert (scheduler.num_running, scheduler.num_waiting) == (2, 0)
    scheduler.finish(second)
    assert slices(scheduler.next_step()) == [(0, 1)]
    assert (scheduler.num_running, scheduler.num_waiting) == (1, 1)


def test_two_prompts_in_overlapping_steps_do_not_take_turns_for_ever() -> None:
    # Found by a drawn test: each gave up its pages for the other, which was in a step just then.
    limits = {"num_pages": 7, "page_tokens": 3, "max_batched_tokens": 4, "max_sequences": 3}
    lengths = [(14, 3), (0, 1), (12, 2), (0, 1), (0, 1)]
    scheduler = scheduler_of(*(asked(i, *one) for i, one in enumerate(lengths)), num_stages=2, **limits)
    in_flight, finished = [], []
    for _ in range(100):
        step = scheduler.next_step() if len(in_flight) < 2 else None
        if step is not None:
            in_flight.append(step)
        elif in_flight:
            finished += scheduler.finish(in_flight.pop(0)).finished_ids
    assert sorted(finished) == [0, 1, 2, 3, 4]


def test_a_waiting_request_is_dropped_at_once_and_a_running_one_when_its_step_ends() -> None:
    scheduler = scheduler_of(asked(0, 4, 4), asked(1, 4, 4), asked(2, 4, 4), max_sequences=2)
    step = scheduler.next_step()
    assert scheduler.drop(2)
    assert not scheduler.drop(1)
    progress = scheduler.finish(step)
    assert (progress.dropped_ids, progress.num_emitted) == ((1,), 1)
    assert scheduler.drop(0)
    assert scheduler.num_free_pages == 100
    assert scheduler.next_step() is None


def test_a_failed_step_drops_all_of_its_sequences() -> None:
    scheduler = scheduler_of(asked(0, 4, 4), asked(1, 4, 4))
    progress = scheduler.finish(scheduler.next_step(), failed=True)
    assert (progress.failed_ids, progress.num_emitted, scheduler.num_free_pages) == ((0, 1), 0, 100)
