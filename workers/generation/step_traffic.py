"""Requests whose steps show what a step costs: crowds of all sizes, short and long prompts and answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vocabulary.generation import GenerationLimits

# Of the longest context: of about this length are the prompts of a crowd.
_TYPICAL_SHARES = (0.04, 0.2, 0.7)
# Answers are so long at most: their contexts are as long as the prompts make them.
_LONGEST_ANSWER = 24
# Prompts of one crowd together are no longer than so many full steps, or large models take minutes.
_MOST_FULL_STEPS = 48


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of one request."""

    num_prompt: int
    num_answer: int


def drawn_crowds(
    limits: GenerationLimits, *, max_model_len: int, seed: int
) -> tuple[tuple[Lengths, ...], ...]:
    """Requests that are there at once, of crowd after crowd, each answered before the next one comes.

    For 1, 2, 4, ... sequences at once up to the limit, half as many again as run. Prompts of a crowd are of
    about one length, so that there are steps of few tokens with much in the cache and with little; answers
    end one by one, so that all numbers of sequences come. Every request fits the model and its pages.
    """
    random = np.random.default_rng(seed)
    longest = min(max_model_len, limits.num_pages * limits.page_tokens)
    most = min(limits.max_sequences, limits.max_batched_tokens)
    sizes = [size for size in (2**exponent for exponent in range(16)) if size < most] + [most]
    crowds = []
    for size in sizes:
        for typical in (share * longest for share in _TYPICAL_SHARES):
            at_most = int(_MOST_FULL_STEPS * limits.max_batched_tokens / typical)
            number = max(1, min(size + size // 2, at_most))
            crowds.append(tuple([_request(typical, longest, random) for _ in range(number)]))
    return tuple(crowds)


def _request(typical: float, longest: int, random: np.random.Generator) -> Lengths:
    num_prompt = int(np.clip(typical * random.uniform(0.5, 1.4), 1, max(longest - 1, 1)))
    most = max(min(_LONGEST_ANSWER, longest - num_prompt), 1)
    return Lengths(num_prompt, int(random.integers(1, most, endpoint=True)))
