"""How long the stages of a group need for the answers that it has to generate: what heartbeats tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scheduling.generation_sequence import Sequence as Answer
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.request import Request


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Of a generating model: answers that wait or run, what is left of them, and what they attend to.

    prompt_tokens, output_tokens: still to compute, as far as lengths are expected. held_tokens: of all
    answers in the cache, halfway through what is left.
    """

    num_answers: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    held_tokens: float = 0.0


def unfinished(waiting: Iterable[Request], begun: Iterable[Answer]) -> Unfinished:
    """Of requests that nothing has been computed of, and sequences that run or were preempted."""
    num_answers = prompt_tokens = output_tokens = 0
    held_tokens = 0.0
    for request in waiting:
        num_samples = max(request.num_samples, 1)
        num_answers += num_samples
        prompt_tokens += request.input_tokens
        output_tokens += num_samples * request.predicted_tokens
        held_tokens += num_samples * (request.input_tokens + request.predicted_tokens / 2)
    for answer in begun:
        request, num_samples = answer.request, answer.num_samples
        num_left = max(request.predicted_tokens - answer.num_emitted, 1)
        num_answers += num_samples
        prompt_tokens += max(answer.prompt_tokens - answer.num_cached, 0)
        output_tokens += num_samples * num_left
        held_tokens += num_samples * (request.input_tokens + answer.num_emitted + num_left / 2)
    return Unfinished(num_answers, prompt_tokens, output_tokens, held_tokens)


def generation_s(left: Unfinished, times: Sequence[StepTimes], limits: GenerationLimits) -> tuple[float, ...]:
    """Seconds of each stage for what is left, as many answers sharing a step as there are and fit."""
    if not left.num_answers:
        return (0.0,) * len(times)
    num_pages = limits.num_pages * limits.page_tokens * left.num_answers / max(left.held_tokens, 1.0)
    together = max(1.0, min(left.num_answers, limits.max_sequences, num_pages))
    kv_tokens = left.held_tokens * together / left.num_answers
    num_steps = left.output_tokens / together
    return tuple(num_steps * one.of(together, kv_tokens) + one.token_s * left.prompt_tokens for one in times)
