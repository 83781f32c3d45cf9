"""What the cluster machine believes of a generating model on a group: who is there, what one more takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from scheduling.generation_costs import Company, GenerationCosts
from scheduling.load import GroupLoad
from vocabulary.catalog import StageSeconds
from vocabulary.request import Request


@final
class GenerationLoad:
    """The model's requests in flight on the group, by their number and their tokens."""

    __slots__ = ("_input_tokens", "_num_requests", "_output_tokens", "costs")

    def __init__(self, costs: GenerationCosts) -> None:
        self.costs = costs
        self.clear()

    def clear(self) -> None:
        """Nothing is in flight."""
        self._num_requests = self._input_tokens = self._output_tokens = 0

    def can_ever_run(self, request: Request) -> bool:
        return self.costs.limits.can_ever_run(request.input_tokens, request.output_tokens)

    def add(self, request: Request) -> None:
        self._count(request, 1)

    def remove(self, request: Request) -> None:
        self._count(request, -1)

    @property
    def capacity(self) -> float:
        """How many requests like those in flight fit the limits at once."""
        limits = self.costs.limits
        if not self._num_requests:
            return limits.max_sequences
        tokens_each = (self._input_tokens + self._output_tokens) / self._num_requests
        return max(1.0, min(limits.max_sequences, limits.num_pages * limits.page_tokens / tokens_each))

    @property
    def company(self) -> Company:
        """Those in flight that run at once, halfway through their answers."""
        if not self._num_requests:
            return Company()
        share = min(1.0, self.capacity / self._num_requests)
        return Company(share * self._num_requests, share * (self._input_tokens + self._output_tokens / 2))

    @property
    def queue_s(self) -> float:
        """How long one more waits for a place: those before it leave at the pace at which answers end."""
        surplus = self._num_requests + 1 - self.capacity
        if not self._num_requests or surplus <= 0:
            return 0.0
        answer_s = self._output_tokens / self._num_requests * self.costs.step_s(self.company)
        return surplus / self.capacity * answer_s

    def _count(self, request: Request, sign: int) -> None:
        self._num_requests += sign
        self._input_tokens += sign * request.input_tokens
        self._output_tokens += sign * request.output_tokens


@final
@dataclass(frozen=True, slots=True)
class GeneratingCandidate:
    """A group that holds the model, and what one request of some length takes there now.

    stages_s: work of its prompt; wait_s: until its first token, beyond the work before it and its own;
    answer_s: from there to the last.
    """

    group: GroupLoad
    model_load: GenerationLoad
    request: Request
    stages_s: StageSeconds
    wait_s: float
    answer_s: float

    def first_token_s(self, now_s: float) -> float:
        """The prompts sent there before come first, then this one."""
        return self.group.clock.finish_s(now_s, self.stages_s) + self.wait_s

    def finish_s(self, now_s: float) -> float:
        return self.first_token_s(now_s) + self.answer_s

    def take(self, now_s: float) -> float:
        """The request goes there; returns its predicted finish."""
        self.model_load.add(self.request)
        return self.group.add(now_s, self.stages_s) + self.wait_s + self.answer_s

    def served(self, finish_s: float) -> None:
        self.model_load.remove(self.request)
        self.group.remove(finish_s)

    def dropped(self, now_s: float) -> None:
        self.model_load.remove(self.request)
        self.group.remove(now_s, unused_s=self.stages_s)


def generating_candidate(
    group: GroupLoad, model_load: GenerationLoad, request: Request
) -> GeneratingCandidate:
    """What `request` would take there, beside those in flight now."""
    costs, company = model_load.costs, model_load.company
    input_tokens = max(request.input_tokens, 1)
    work_s = costs.prompt_work_s(input_tokens, company)
    wait_s = sum(costs.prompt_s(input_tokens, company)) - sum(work_s) + model_load.queue_s
    return GeneratingCandidate(group, model_load, request, work_s, wait_s, costs.answer_s(request, company))
