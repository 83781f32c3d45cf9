"""Several answers to one prompt: they share its pages, and copy the last before they write to it."""

from __future__ import annotations

import pytest

from scheduling.generation import GenerationScheduler
from scheduling.generation_sequence import Step
from tests.scheduling.generating import asked, run, scheduler_of, turn


def told(step: Step) -> list[tuple[int, int, int, int]]:
    """(sample, start, tokens, outputs) of each slice; must be asked for before the step ends."""
    return [(one.sample, one.start, one.num_tokens, one.num_outputs) for one in step.told_slices()]


def started(scheduler: GenerationScheduler) -> tuple[Step, list[tuple[int, int, int, int]], list[list[int]]]:
    """The next step, its slices and the pages of each; it has ended."""
    step = scheduler.next_step()
    assert step is not None
    slices, pages = told(step), [list(one.pages) for one in step.told_slices()]
    scheduler.finish(step)
    return step, slices, pages


def test_a_request_forks_when_its_prompt_is_complete() -> None:
    scheduler = scheduler_of(asked(0, 20, 3, num_samples=3))
    assert started(scheduler)[1] == [(0, 0, 16, 0)]
    assert started(scheduler)[1] == [(0, 16, 4, 3)]
    assert started(scheduler)[1] == [(0, 20, 1, 1), (1, 20, 1, 1), (2, 20, 1, 1)]


def test_samples_share_full_pages_and_copy_the_last_before_they_write_to_it() -> None:
    scheduler = scheduler_of(asked(0, 6, 3, num_samples=3))
    started(scheduler)
    assert scheduler.num_free_pages == 98  # a fork takes none
    step, _, pages = started(scheduler)
    # The last sample is alone with the page by then, and writes to it in place.
    assert pages == [[1, 2], [1, 3], [1, 0]]
    assert step.moves.copies == ((0, 2), (0, 3))


def test_nothing_is_copied_when_the_prompt_fills_its_pages() -> None:
    scheduler = scheduler_of(asked(0, 8, 2, num_samples=2))
    started(scheduler)
    step, _, pages = started(scheduler)
    assert pages == [[1, 0, 2], [1, 0, 3]]
    assert step.moves.copies == ()


def test_a_request_is_done_with_its_last_sample_and_its_first_token_comes_once() -> None:
    scheduler = scheduler_of(asked(7, 4, 3, num_samples=2))
    _, first = turn(scheduler)
    assert (first.num_emitted, first.first_token_ids, first.finished_ids) == (2, (7,), ())
    _, second = turn(scheduler, stopped=[(7, 1)])
    assert (second.num_emitted, second.finished_ids) == (2, ())
    _, third = turn(scheduler)
    assert (third.num_emitted, third.finished_ids) == (1, (7,))
    assert scheduler.num_free_pages == 100


def test_samples_that_stop_with_their_first_token_run_no_further() -> None:
    scheduler = scheduler_of(asked(7, 6, 3, num_samples=3))
    turn(scheduler, stopped=[(7, 0), (7, 2)])
    step, slices, _ = started(scheduler)
    assert slices == [(1, 6, 1, 1)]
    assert step.moves.copies == ()  # nobody else holds the page any more


def test_all_answers_of_one_token_end_with_the_prompt() -> None:
    scheduler = scheduler_of(asked(7, 6, 1, num_samples=3))
    _, progress = turn(scheduler)
    assert (progress.num_emitted, progress.finished_ids) == (3, (7,))
    assert (scheduler.num_running, scheduler.num_free_pages) == (0, 100)


def test_a_request_counts_as_all_its_samples_from_admission_on() -> None:
    scheduler = scheduler_of(asked(0, 4, 2), asked(1, 20, 2, num_samples=3), asked(2, 4, 2), max_sequences=4)
    steps = run(scheduler)
    assert steps[0] == [(0, 4), (1, 12)]
    assert steps[1] == [(0, 1), (1, 8)]
    assert steps[2] == [(1, 1), (1, 1), (1, 1), (2, 4)]
    assert scheduler.statistics.max_sequences == 4


def test_more_samples_than_sequences_can_never_run() -> None:
    scheduler = scheduler_of(max_sequences=2)
    assert scheduler.can_ever_run(asked(0, 4, 2, num_samples=2))
    assert not scheduler.can_ever_run(asked(0, 4, 2, num_samples=3))


def test_samples_that_do_not_fit_together_take_turns() -> None:
    # Each comes to three pages, of which they share one: five, and there are three.
    scheduler = scheduler_of(asked(0, 6, 5, num_samples=2), num_pages=3)
    steps = run(scheduler)
    assert steps[0] == [(0, 6)]
    assert scheduler.statistics.num_emitted == 10
    assert scheduler.statistics.num_preempted == 1
    assert scheduler.num_free_pages == 3


def test_where_output_is_reserved_it_is_reserved_for_all_samples() -> None:
    five, six = asked(0, 6, 5, num_samples=2), asked(1, 6, 5, num_samples=2)
    scheduler = scheduler_of(five, num_pages=5, reserves_output=True)
    assert not scheduler_of(num_pages=4, reserves_output=True).can_ever_run(six)
    turn(scheduler)
    assert scheduler.num_free_pages == 0
    assert len(run(scheduler)) == 4
    assert (scheduler.statistics.num_preempted, scheduler.num_free_pages) == (0, 5)


def test_reserved_pages_of_samples_that_stop_early_go_back_with_the_last() -> None:
    scheduler = scheduler_of(asked(0, 6, 9, num_samples=3), num_pages=20, reserves_output=True)
    turn(scheduler, stopped=[(0, 1)])
    turn(scheduler, stopped=[(0, 0), (0, 2)])
    assert scheduler.num_free_pages == 20


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_a_request_that_is_dropped_takes_all_samples_with_it(num_steps: int) -> None:
    scheduler = scheduler_of(asked(0, 6, 5, num_samples=3), asked(1, 3, 9))
    for _ in range(num_steps):
        turn(scheduler)
    assert scheduler.drop(0)
    assert scheduler.num_running == 1
    assert scheduler.num_free_pages == 100 - len(scheduler._running.sequences[0].pages)


def test_a_dropped_request_is_told_when_the_last_step_of_its_samples_ends() -> None:
    scheduler = scheduler_of(asked(0, 6, 5, num_samples=2), num_stages=2)
    turn(scheduler)
    one, other = scheduler.next_step(), scheduler.next_step()
    assert not scheduler.drop(0)
    assert scheduler.finish(one).dropped_ids == ()
    assert scheduler.finish(other).dropped_ids == (0,)
    assert scheduler.num_free_pages == 100


def test_a_step_that_fails_takes_the_samples_that_are_not_in_it() -> None:
    scheduler = scheduler_of(asked(0, 6, 5, num_samples=2), num_stages=2)
    turn(scheduler)
    progress = scheduler.finish(scheduler.next_step(), failed=True)
    assert (progress.failed_ids, progress.dropped_ids) == ((0,), ())
    assert (scheduler.num_running, scheduler.num_free_pages) == (0, 100)


def test_places_promised_to_samples_are_free_again_when_the_prompt_is_dropped_in_a_step() -> None:
    # Found by a drawn test: they stayed taken, and nobody could be admitted any more.
    scheduler = scheduler_of(asked(0, 20, 2, num_samples=4), asked(1, 4, 1, num_samples=4))
    turn(scheduler, failed=True)
    assert run(scheduler) == [[(1, 4)]]
