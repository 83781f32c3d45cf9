"""Requests whose steps show what a step costs: crowds of all sizes, prompts and answers as in a workload."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vocabulary.deployment import Workload
from vocabulary.generation import GenerationLimits

# Of the workload's mean: of about this length are the prompts of a crowd.
_TYPICAL_SHARES = (0.3, 1.0, 3.0)
# Of the mean: answers of a crowd are between these, so that they end one by one. All steps of a long answer
# are much alike: longer ones would only take longer to measure.
_ANSWER_SHARES = (0.1, 1.9)
_LONGEST_MEAN = 64.0
# Prompts of one crowd together are no longer than so many full steps, or large models take minutes.
_MOST_FULL_STEPS = 48


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of one request."""

    num_prompt: int
    num_answer: int


def drawn_crowds(
    limits: GenerationLimits, workload: Workload, *, max_model_len: int, seed: int
) -> tuple[tuple[Lengths, ...], ...]:
    """Requests that are there at once, of crowd after crowd, each answered before the next one comes.

    As many as 1, 2, 4, ... below the limit of sequences, and four times that. Prompts and answers are about
    as long as in the workload, in some crowds shorter, in some longer, so that steps are those that its
    traffic makes, as often: a line that is to tell them should not be bent by others. All fit the model and
    its pages.
    """
    random = np.random.default_rng(seed)
    longest = min(max_model_len, limits.num_pages * limits.page_tokens)
    most = min(limits.max_sequences, limits.max_batched_tokens)
    sizes = [size for size in (2**exponent for exponent in range(16)) if size < most] + [most]
    crowds = []
    for size in sizes:
        for share in _TYPICAL_SHARES:
            typical = min(share * workload.input_tokens, 0.7 * longest)
            at_most = int(_MOST_FULL_STEPS * limits.max_batched_tokens / typical)
            number = max(1, min(size if size < most else 4 * most, at_most))
            crowds.append(
                tuple([_request(typical, workload.output_tokens, longest, random) for _ in range(number)])
            )
    return tuple(crowds)


def _request(typical: float, num_output: float, longest: int, random: np.random.Generator) -> Lengths:
    num_prompt = int(np.clip(typical * random.uniform(0.5, 1.4), 1, max(longest - 1, 1)))
    num_answer = min(num_output, _LONGEST_MEAN) * random.uniform(*_ANSWER_SHARES)
    return Lengths(num_prompt, int(np.clip(num_answer, 1, max(longest - num_prompt, 1))))
