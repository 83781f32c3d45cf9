"""Predictions for generating requests: exact alone, monotone in company."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.generation_costs import Company, GenerationCosts
from scheduling.generation_load import GenerationLoad, generating_candidate
from scheduling.load import GroupLoad
from simulator.generation.reference import generate
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.request import Request

TIMES = StepTimes(0.5, 0.25, 0.0625)
LIMITS = GenerationLimits(num_pages=1000, page_tokens=4, max_batched_tokens=8, max_sequences=4)


def asked(input_tokens: int, output_tokens: int, *, arrival_s: float = 0.0, **objectives) -> Request:
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return Request(0, "m", arrival_s, **lengths, **objectives)


def candidate(load: GenerationLoad, request: Request, *, num_stages: int = 1):
    return generating_candidate(GroupLoad(0, num_stages), load, request)


@given(st.integers(1, 60), st.integers(1, 40))
def test_a_request_alone_takes_what_is_predicted(input_tokens: int, output_tokens: int) -> None:
    found = generate([2.0], [input_tokens], [output_tokens], limits=LIMITS, times=TIMES)
    alone = candidate(GenerationLoad(GenerationCosts((TIMES,), LIMITS)), asked(input_tokens, output_tokens))
    assert alone.first_token_s(2.0) == pytest.approx(found.first_token_s[0])
    assert alone.finish_s(2.0) == pytest.approx(found.finish_s[0])


def test_every_stage_takes_its_part() -> None:
    costs = GenerationCosts((TIMES, TIMES), LIMITS)
    one, two = (
        candidate(GenerationLoad(GenerationCosts((TIMES,), LIMITS)), asked(4, 3)),
        candidate(GenerationLoad(costs), asked(4, 3), num_stages=2),
    )
    assert two.finish_s(0.0) == pytest.approx(2 * one.finish_s(0.0))


def test_company_makes_prompts_and_answers_slower_and_goes_when_it_leaves() -> None:
    load = GenerationLoad(GenerationCosts((TIMES,), LIMITS))
    alone = candidate(load, asked(4, 5))
    for _ in range(3):
        load.add(asked(8, 5))
    beside = candidate(load, asked(4, 5))
    assert beside.answer_s > alone.answer_s
    assert beside.first_token_s(0.0) > alone.first_token_s(0.0)
    for _ in range(3):
        load.remove(asked(8, 5))
    again = candidate(load, asked(4, 5))
    assert (again.stages_s, again.more_s, again.answer_s) == (alone.stages_s, alone.more_s, alone.answer_s)


def test_more_than_fit_wait_for_a_place() -> None:
    load = GenerationLoad(GenerationCosts((TIMES,), LIMITS))
    waits = []
    for _ in range(8):
        waits.append(load.queue_s)
        load.add(asked(8, 5))
    assert waits[:4] == [0.0] * 4
    assert waits[4:] == sorted(waits[4:]) and waits[4] > 0.0


def test_few_pages_hold_fewer_than_the_sequences_allowed() -> None:
    limits = GenerationLimits(num_pages=8, page_tokens=4, max_sequences=4)
    load = GenerationLoad(GenerationCosts((TIMES,), limits))
    load.add(asked(12, 4))
    assert load.capacity == 2.0


def test_prompts_sent_before_come_first() -> None:
    load, group = GenerationLoad(GenerationCosts((TIMES,), LIMITS)), GroupLoad(0, 1)
    generating_candidate(group, load, asked(80, 2)).take(0.0)
    second = generating_candidate(group, load, asked(4, 2))
    assert second.first_token_s(0.0) > 80 * TIMES.token_s
    assert group.num_in_flight == 1


def test_what_never_ran_gives_its_work_back() -> None:
    load, group = GenerationLoad(GenerationCosts((TIMES,), LIMITS)), GroupLoad(0, 1)
    first = generating_candidate(group, load, asked(80, 2))
    first.take(0.0)
    second = generating_candidate(group, load, asked(40, 2))
    before_s = group.clock.last_s
    second.take(0.0)
    second.dropped(0.0)
    assert group.clock.last_s == pytest.approx(before_s)
    first.served(30.0)
    assert group.num_in_flight == 0 and load.company == Company()


def test_late_is_what_misses_any_objective_even_alone() -> None:
    costs = GenerationCosts((TIMES,), LIMITS)
    first_s, token_s = TIMES.of(4, 0), TIMES.of(1, 4)
    for objective, limit_s in (("ttft_s", first_s), ("tpot_s", token_s), ("slo_s", first_s + token_s)):
        fine, late = asked(4, 2, **{objective: limit_s}), asked(4, 2, **{objective: limit_s - 0.01})
        assert not costs.is_late_alone(fine, 0.0, overhead_s=0.0), objective
        assert costs.is_late_alone(late, 0.0, overhead_s=0.0), objective
    waited = asked(4, 2, ttft_s=first_s)
    assert costs.is_late_alone(waited, 0.01, overhead_s=0.0)
    assert costs.is_late_alone(waited, 0.0, overhead_s=0.01)


def test_the_prompts_of_those_who_follow_slow_an_answer_down() -> None:
    load = GenerationLoad(GenerationCosts((StepTimes(0.5, 0.25),), LIMITS))
    load.add(asked(3, 3))
    # A token of prompt for each that is emitted: beside its own, a step computes one of either.
    assert candidate(load, asked(4, 5)).answer_s == 4 * (0.5 + 3 * 0.25)


def test_lengths_are_averaged_over_those_who_came_not_those_who_stay() -> None:
    load = GenerationLoad(GenerationCosts((StepTimes(0.5, 0.25),), LIMITS))
    for request in (asked(3, 3), asked(3, 3), asked(3, 9)):
        load.add(request)
    load.remove(asked(3, 3))
    load.remove(asked(3, 3))
    # Only the long one is left; on average 3 tokens were asked for 5.
    assert candidate(load, asked(4, 5)).answer_s == pytest.approx(4 * (0.5 + (1 + 1 + 3 / 5) * 0.25))


def test_an_answer_is_predicted_by_the_tokens_expected_of_it_and_never_by_more_than_it_may_have() -> None:
    load = GenerationLoad(GenerationCosts((TIMES,), LIMITS))
    learned, told = asked(4, 99, expected_tokens=5), asked(4, 5)
    assert candidate(load, learned).finish_s(0.0) == candidate(load, told).finish_s(0.0)
    assert asked(4, 5, expected_tokens=99).predicted_tokens == 5
    load.add(learned)
    assert load.capacity == LIMITS.max_sequences
    load.remove(learned)
    costs = GenerationCosts((StepTimes(0.5, 0.25),), LIMITS)
    pace = asked(4, 99, expected_tokens=5, tpot_s=0.75)
    assert not costs.is_late_alone(pace, 0.0, overhead_s=0.0)
    assert costs.is_late_alone(asked(4, 99, expected_tokens=5, tpot_s=0.74), 0.0, overhead_s=0.0)


def test_whether_a_request_can_ever_run_goes_by_the_most_that_it_may_say_and_by_its_samples() -> None:
    load = GenerationLoad(GenerationCosts((TIMES,), GenerationLimits(4, page_tokens=4, max_sequences=2)))
    assert load.can_ever_run(asked(8, 9))
    assert not load.can_ever_run(asked(8, 10, expected_tokens=2))
    assert load.can_ever_run(asked(8, 9, num_samples=2))
    assert not load.can_ever_run(asked(8, 1, num_samples=3))


def test_samples_take_the_time_of_that_many_answers_and_the_memory_of_one_prompt() -> None:
    load = GenerationLoad(GenerationCosts((StepTimes(0.5, 0.25, 0.0625),), LIMITS))
    # Two tokens a step, each after four of the prompt and two of the answer on average.
    assert candidate(load, asked(4, 5, num_samples=2)).answer_s == 4 * (0.5 + 2 * 0.25 + 2 * 5.5 * 0.0625)
    few = GenerationLoad(
        GenerationCosts((TIMES,), GenerationLimits(num_pages=8, page_tokens=4, max_sequences=9))
    )
    few.add(asked(12, 2, num_samples=2))
    assert few.capacity == 4.0
    assert few.company.num_kv_tokens == 2 * (12 + 1)
    few.remove(asked(12, 2, num_samples=2))
    assert few.company == Company()
