"""What an engine says of answers: where they stop, and which of their pages are full."""

from __future__ import annotations

from tests.scheduling.generating import Ledger, asked, run, scheduler_of, slices, turn
from vocabulary.generation import Prefix

NO_PAGES_YET = Prefix((), block_tokens=4)


def test_an_answer_that_stops_leaves_before_all_its_tokens() -> None:
    scheduler = scheduler_of(asked(0, 4, 99), asked(1, 4, 99))
    turn(scheduler)
    _, progress = turn(scheduler, stopped=[(0, 0)])
    assert (progress.num_emitted, progress.finished_ids) == (2, (0,))
    assert slices(scheduler.next_step()) == [(1, 1)]


def test_an_answer_may_stop_with_its_first_token() -> None:
    scheduler = scheduler_of(asked(0, 4, 99))
    _, progress = turn(scheduler, stopped=[(0, 0)])
    assert (progress.first_token_ids, progress.finished_ids) == ((0,), (0,))
    assert scheduler.num_free_pages == 100


def test_the_next_turn_of_a_conversation_finds_the_answer_before_it() -> None:
    scheduler = scheduler_of(asked(0, 6, 4, prefix=Prefix((11,), 4)), has_prefix_cache=True)
    for _ in range(2):
        turn(scheduler)
    turn(scheduler, full_pages=[(0, 0, 1, 12)])
    turn(scheduler)
    # Of prompt and answer, 9 tokens are in the cache, in two full pages.
    scheduler.push(asked(1, 13, 1, prefix=Prefix((11, 12, 13), 4)))
    step = scheduler.next_step()
    assert slices(step) == [(1, 5)]
    assert scheduler.statistics.num_hit == 8


def test_pages_of_an_answer_without_known_pages_before_it_are_not_kept() -> None:
    scheduler = scheduler_of(asked(0, 6, 4), asked(1, 6, 4, prefix=NO_PAGES_YET), has_prefix_cache=True)
    for _ in range(2):
        turn(scheduler)
    turn(scheduler, full_pages=[(0, 0, 1, 12), (1, 0, 1, 12)])
    run(scheduler)
    assert scheduler._pages._prefixes.num_unused == 0


def test_a_page_that_the_step_does_not_fill_is_not_believed() -> None:
    scheduler = scheduler_of(asked(0, 5, 2, prefix=Prefix((11,), 4)), has_prefix_cache=True)
    turn(scheduler, full_pages=[(0, 0, 1, 12)])
    run(scheduler)
    assert scheduler._pages._prefixes.num_unused == 1


def test_what_an_answer_has_said_is_found_again_after_a_preemption() -> None:
    prefix = Prefix((11,), block_tokens=4)
    scheduler = scheduler_of(
        asked(0, 4, 11), asked(1, 4, 12, prefix=prefix), has_prefix_cache=True, num_pages=6
    )
    for _ in range(4):
        turn(scheduler)
    turn(scheduler, full_pages=[(1, 0, 1, 12)])
    # Both fill three pages, and 0 grows to a fourth: 1 waits with nine tokens said, two pages of it cached.
    assert run(scheduler)[4:8] == [[(0, 1)], [(0, 1)], [(1, 5)], [(1, 1)]]
    assert (scheduler.statistics.num_preempted, scheduler.statistics.num_hit) == (1, 8)


def test_a_prompt_whose_last_step_failed_is_not_known() -> None:
    prefix = Prefix((11, 12), block_tokens=4)
    scheduler = scheduler_of(asked(0, 9, 3, prefix=prefix), has_prefix_cache=True)
    turn(scheduler, failed=True)
    scheduler.push(asked(1, 9, 1, prefix=prefix))
    assert run(scheduler) == [[(1, 9)]]


def test_what_a_cancelled_answer_has_said_is_known() -> None:
    scheduler = scheduler_of(asked(0, 4, 99, prefix=Prefix((11,), 4)), has_prefix_cache=True)
    for _ in range(4):
        turn(scheduler)
    step = scheduler.next_step()
    assert not scheduler.drop(0)
    scheduler.finish(step, full_pages=[(0, 0, 1, 12)])
    assert scheduler._pages._prefixes.num_unused == 2


def test_the_queue_hears_of_every_token_once_whatever_is_computed_again() -> None:
    scheduler = scheduler_of(asked(0, 8, 4), asked(1, 8, 4), num_pages=4, waiting=Ledger)
    ledger = scheduler._queue
    run(scheduler)
    assert scheduler.statistics.num_recomputed == 8
    assert (ledger.totals(0), ledger.totals(1)) == ((8, 4, 0), (8, 4, 0))
    assert sorted(ledger.gone) == [0, 1]


def test_the_queue_hears_of_what_the_cache_had_and_of_all_samples() -> None:
    prefix = Prefix((11, 12), block_tokens=4)
    scheduler = scheduler_of(asked(0, 9, 1, prefix=prefix), has_prefix_cache=True, waiting=Ledger)
    ledger = scheduler._queue
    run(scheduler)
    late = asked(1, 10, 3, prefix=prefix, num_samples=2)
    assert ledger.matched(late) == 8
    scheduler.push(late)
    run(scheduler)
    assert ledger.totals(1) == (2, 6, 8)
    assert ledger.gone == [0, 1]


def test_the_queue_hears_of_a_request_that_leaves_once_it_has_begun() -> None:
    scheduler = scheduler_of(asked(0, 8, 4), asked(1, 8, 4), max_sequences=1, waiting=Ledger)
    turn(scheduler)
    assert scheduler.drop(0)
    assert scheduler.drop(1)
    assert scheduler._queue.gone == [0]
