"""Preemption to the host: pages go and come back, and nothing is computed again."""

from __future__ import annotations

from scheduling.generation import GenerationScheduler
from scheduling.generation_sequence import Step
from tests.scheduling.generating import asked, run, scheduler_of, slices, turn
from vocabulary.generation import Prefix
from vocabulary.messages import NO_MOVES, PageMoves

# Two pages each; the ninth token of either needs a third one.
TIGHT = {"num_pages": 4, "num_host_pages": 4}


def test_the_tokens_of_a_preempted_sequence_go_to_the_host_and_come_back() -> None:
    scheduler = scheduler_of(asked(0, 8, 4), asked(1, 8, 4), **TIGHT)
    turn(scheduler)
    step, _ = turn(scheduler)
    assert (slices(step), step.moves) == ([(0, 1)], PageMoves(to_host=((3, 1), (2, 0))))
    assert scheduler.num_free_host_pages == 2
    turn(scheduler)
    turn(scheduler)
    step = scheduler.next_step()
    (back,) = step.told_slices()
    assert (back.request_id, back.start, back.num_tokens, back.num_outputs) == (1, 8, 1, 1)
    assert step.moves == PageMoves(from_host=((1, back.pages[0]), (0, back.pages[1])))
    assert scheduler.num_free_host_pages == 4
    scheduler.finish(step)
    assert run(scheduler) == [[(1, 1)], [(1, 1)]]
    statistics = scheduler.statistics
    assert (statistics.num_preempted, statistics.num_swapped, statistics.num_recomputed) == (1, 1, 0)


def test_without_room_on_the_host_tokens_are_computed_again() -> None:
    scheduler = scheduler_of(asked(0, 8, 4), asked(1, 8, 4), num_pages=4, num_host_pages=1)
    assert run(scheduler)[4] == [(1, 9)]
    assert (scheduler.statistics.num_swapped, scheduler.statistics.num_recomputed) == (0, 8)


def test_a_prompt_that_is_computed_in_part_goes_on_where_it_was() -> None:
    scheduler = scheduler_of(asked(0, 4, 9), asked(1, 16, 1), max_batched_tokens=8, **TIGHT)
    # After two steps 1 has 11 of its 16 tokens on three pages, and 0 needs a second one.
    assert run(scheduler)[:3] == [[(0, 4), (1, 4)], [(0, 1)], [(0, 1)]]
    assert run(scheduler_of(asked(0, 4, 9), asked(1, 16, 1), max_batched_tokens=8, **TIGHT))[9:] == [
        [(1, 8)],
        [(1, 4)],
    ]
    assert (scheduler.statistics.num_swapped, scheduler.statistics.num_recomputed) == (1, 0)


def test_what_the_cache_has_does_not_come_back_from_the_host() -> None:
    prefix = Prefix((11, 12), block_tokens=4)
    scheduler = scheduler_of(
        asked(0, 8, 9), asked(1, 8, 9, prefix=prefix), has_prefix_cache=True, num_pages=7, num_host_pages=4
    )
    while not scheduler.statistics.num_swapped:
        turn(scheduler)
    while slices(step := scheduler.next_step()) == [(0, 1)]:
        scheduler.finish(step)
    # Three pages are on the host, and of the prompt's two the cache still knows those on the device.
    pages = step.told_slices()[0].pages
    assert (slices(step), step.num_kv_tokens) == ([(1, 1)], 12)
    assert [page for _, page in step.moves.from_host] == [pages[2]]
    assert scheduler.num_free_host_pages == 4


def one_waits_to_go() -> tuple[GenerationScheduler, Step]:
    """1 has preempted itself while 0 was in a step: nothing could start, so its page has not moved yet."""
    scheduler = scheduler_of(
        asked(0, 4, 1),
        asked(1, 3, 2),
        num_stages=2,
        num_pages=3,
        num_host_pages=8,
        page_tokens=2,
        max_batched_tokens=2,
        max_sequences=2,
    )
    first, second = scheduler.next_step(), scheduler.next_step()
    scheduler.finish(first)
    third = scheduler.next_step()
    assert slices(third) == [(0, 2)]
    scheduler.finish(second)
    assert scheduler.next_step() is None
    assert scheduler.num_free_host_pages == 7
    return scheduler, third


def test_what_could_not_move_yet_goes_to_the_host_and_comes_back_with_the_same_step() -> None:
    scheduler, step = one_waits_to_go()
    scheduler.finish(step)
    moves = scheduler.next_step().moves
    assert (len(moves.to_host), len(moves.from_host)) == (1, 1)
    assert moves.to_host[0][1] == moves.from_host[0][0]


def test_a_dropped_sequence_gives_its_host_pages_back_and_does_not_move_any_more() -> None:
    scheduler, step = one_waits_to_go()
    assert scheduler.drop(1)
    assert scheduler.num_free_host_pages == 8
    scheduler.push(asked(2, 2, 1))
    scheduler.finish(step)
    assert scheduler.next_step().moves == NO_MOVES


def test_tokens_that_never_came_to_the_host_are_computed_again() -> None:
    scheduler = scheduler_of(asked(0, 8, 4), asked(1, 8, 4), **TIGHT)
    turn(scheduler)
    _, progress = turn(scheduler, failed=True)
    assert progress.failed_ids == (0,)
    assert scheduler.num_free_host_pages == 4
    assert run(scheduler) == [[(1, 9)], [(1, 1)], [(1, 1)]]
