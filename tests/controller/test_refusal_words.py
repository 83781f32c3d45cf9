"""Refusals say what cannot be kept, or held, with the numbers."""

from __future__ import annotations

import pytest

from controller.calls import Reason
from controller.refusals import refusal
from vocabulary.generation import GenerationLimits
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S

LIMITS = GenerationLimits(num_pages=12, page_tokens=16, max_batched_tokens=64, max_sequences=4)


def asked(
    input_tokens: int = 10,
    output_tokens: int = 5,
    *,
    slo_s: float = NEVER_S,
    deadline_s: float = NEVER_S,
    ttft_s: float = NEVER_S,
    tpot_s: float = NEVER_S,
    num_samples: int = 1,
) -> Request:
    return Request(
        1,
        "chat",
        100.0,
        slo_s,
        deadline_s,
        input_tokens,
        output_tokens,
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        num_samples=num_samples,
    )


@pytest.mark.parametrize(
    ("objectives", "words"),
    [
        ({"ttft_s": 0.001}, "would give the first token later than the 0.001 s allowed"),
        ({"tpot_s": 0.02}, "would take more than 0.02 s a token"),
        ({"slo_s": 3.0}, "would answer later than the 3 s allowed"),
        ({"deadline_s": 100.5}, "would answer after the client's time-out of 0.5 s"),
        (
            {"ttft_s": 0.2, "slo_s": 3.0},
            "would give the first token later than the 0.2 s allowed or answer later than the 3 s allowed",
        ),
    ],
)
def test_who_cannot_be_in_time_hears_which_of_his_objectives_there_were(
    objectives: dict[str, float], words: str
) -> None:
    told = refusal(asked(**objectives), Fate.SLO_INFEASIBLE, now_s=100.1)
    assert told.reason is Reason.SLO_INFEASIBLE
    assert told.message == f"model 'chat' {words}"


def test_while_time_remains_nobody_hears_that_it_has_passed() -> None:
    request = asked(deadline_s=100.003)
    for fate in (Fate.SLO_INFEASIBLE, Fate.CANCELLED):
        assert refusal(request, fate, now_s=100.001).reason is Reason[fate.name]
        assert refusal(request, fate, now_s=100.003).reason is Reason.DEADLINE_EXCEEDED


def test_what_no_cache_holds_is_too_long_in_pages_and_tokens() -> None:
    told = refusal(asked(180, 30), Fate.INVALID, now_s=100.0, limits=(LIMITS,))
    assert told.reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert "a prompt of 180 tokens with an answer of up to 30 takes 14 pages of 16 tokens" in told.message
    assert "cache of model 'chat' has 12" in told.message


def test_more_answers_than_run_at_once_are_a_wrong_n() -> None:
    told = refusal(asked(num_samples=5), Fate.INVALID, now_s=100.0, limits=(LIMITS,))
    assert told.reason is Reason.INVALID_PARAMETER
    assert told.message == "model 'chat' gives at most 4 answers at once; n is 5"


def test_reserved_answers_count_all_samples() -> None:
    limits = GenerationLimits(12, 16, 64, 4, reserves_output=True)
    told = refusal(asked(100, 40, num_samples=4), Fate.INVALID, now_s=100.0, limits=(limits,))
    assert told.reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert "for each of 4 takes 18 pages" in told.message


def test_a_prompt_that_no_step_computes_whole_is_too_long() -> None:
    limits = GenerationLimits(12, 16, 64, 4, is_chunked=False)
    told = refusal(asked(70, 4), Fate.INVALID, now_s=100.0, limits=(limits,))
    assert told.reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert "in one step, of at most 64 tokens" in told.message


def test_what_fits_only_a_group_that_is_gone_is_to_be_asked_for_again() -> None:
    large = GenerationLimits(num_pages=100)
    told = refusal(asked(180, 30), Fate.INVALID, now_s=100.0, limits=(LIMITS, large))
    assert told.reason is Reason.UNAVAILABLE and told.retry_after_s


def test_a_workers_own_words_are_passed_on() -> None:
    one_shot = Request(1, "bert", 100.0)
    told = refusal(one_shot, Fate.INVALID, now_s=100.0, error="token 9 is not below 5")
    assert (told.reason, told.message) == (Reason.INVALID_TENSOR, "model 'bert': token 9 is not below 5")
    told = refusal(asked(), Fate.INVALID, now_s=100.0, error="no such token", limits=(LIMITS,))
    assert (told.reason, told.message) == (Reason.INVALID_PARAMETER, "model 'chat': no such token")
