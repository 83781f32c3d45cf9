"""How long a generating request takes beside others: what admission, routing and lateness go by.

Every sequence advances by one token a step, so an answer takes as many steps as it has tokens, however many
share them; a prompt takes what its own tokens cost, and the rest of the steps that it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from vocabulary.catalog import StageSeconds
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.request import Request


@dataclass(frozen=True, slots=True)
class Company:
    """Other sequences that run meanwhile, and their tokens in the cache, in all.

    prompts_per_token: prompt tokens computed for each token emitted, as long as those that end are replaced.
    """

    num_sequences: float = 0.0
    num_kv_tokens: float = 0.0
    prompts_per_token: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class GenerationCosts:
    """Predictions for one model on one group, exact for a request that is alone there and finds no prefix.

    With p stages a p-th of the company shares a step. Ignored: preemptions, that a request waits for the end
    of the step in which it comes, and how company changes.
    """

    times: tuple[StepTimes, ...]
    limits: GenerationLimits

    def prompt_s(self, input_tokens: int, company: Company, *, num_hit: int = 0) -> StageSeconds:
        """Seconds of each stage from the begin of the prompt to the first token [stages].

        num_hit: tokens in the cache before the `input_tokens` that are computed.
        """
        others, kv_tokens = self._in_step(company)
        step_tokens = max(1.0, self.limits.max_batched_tokens - others)
        num_steps = -(-input_tokens // step_tokens)
        # Of its own prompt, a chunk looks back on all chunks before it, and on what was in the cache.
        looked_back = step_tokens * num_steps * (num_steps - 1) / 2 + num_steps * num_hit
        return tuple(
            num_steps * one.of(others, kv_tokens) + one.token_s * input_tokens + one.kv_token_s * looked_back
            for one in self.times
        )

    def prompt_work_s(self, input_tokens: int, company: Company) -> StageSeconds:
        """What the prompt adds to the work of each stage: less than it takes, where prompts share steps."""
        others, kv_tokens = self._in_step(company)
        share = input_tokens / max(1.0, self.limits.max_batched_tokens - others)
        return tuple(share * one.of(others, kv_tokens) + one.token_s * input_tokens for one in self.times)

    def answer_s(self, request: Request, company: Company) -> float:
        """Seconds from the first tokens to the last, of answers as long as they are expected to be."""
        num_steps, num_samples = max(request.predicted_tokens, 1) - 1, max(request.num_samples, 1)
        # On average half of an answer is in the cache.
        own_kv_tokens = num_samples * (max(request.input_tokens, 1) + (num_steps - 1) / 2)
        return num_steps * self.step_s(company, own_tokens=num_samples, own_kv_tokens=own_kv_tokens)

    def step_s(self, company: Company, *, own_tokens: int = 0, own_kv_tokens: float = 0.0) -> float:
        """Seconds of a step in which the company decodes, and prompts of those who replace it advance."""
        others, kv_tokens = self._in_step(company)
        prompt_tokens = min(
            others * company.prompts_per_token, max(0.0, self.limits.max_batched_tokens - others - own_tokens)
        )
        num_tokens = own_tokens + others + prompt_tokens
        return sum(one.of(num_tokens, kv_tokens + own_kv_tokens) for one in self.times)

    def is_late_alone(self, request: Request, now_s: float, *, overhead_s: float, num_hit: int = 0) -> bool:
        """Whether an objective is missed even if the request has the group for itself from now on.

        num_hit: tokens of its prompt that are in the cache.
        """
        input_tokens = max(request.input_tokens - num_hit, 1)
        first_token_s = now_s + overhead_s + sum(self.prompt_s(input_tokens, Company(), num_hit=num_hit))
        finish_s = first_token_s + self.answer_s(request, Company())
        return not (request.is_in_time(finish_s) and request.keeps_pace(first_token_s, finish_s))

    def _in_step(self, company: Company) -> tuple[float, float]:
        """What of the company is in the same step: sequences, and their tokens in the cache."""
        num_stages = len(self.times)
        return company.num_sequences / num_stages, company.num_kv_tokens / num_stages
