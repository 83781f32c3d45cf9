"""What the cluster machine believes of a generating model on a group: who is there, what one more takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

from scheduling.generation_costs import Company, GenerationCosts
from scheduling.load import GroupLoad
from scheduling.sent_prefixes import SentPrefixes
from vocabulary.catalog import StageSeconds
from vocabulary.request import Request

# Requests over which lengths are averaged.
_NUM_REMEMBERED = 200


class _There(NamedTuple):
    """Answers there, of all front ends as far as is known, and their tokens."""

    num_answers: int
    input_tokens: float
    attended_tokens: float
    output_tokens: float


@final
class GenerationLoad:
    """The model's requests in flight on the group, by the number of their answers and their tokens.

    An answer counts as long as it is expected to be. Samples share the memory of a prompt, and each
    attends to all of it. Those of other front ends, of which heartbeats tell the number, count as long as own
    ones were on average.
    """

    __slots__ = (
        "_attended_tokens",
        "_input_tokens",
        "_mean_input",
        "_mean_output",
        "_num_answers",
        "_num_elsewhere",
        "_num_requests",
        "_num_seen",
        "_output_tokens",
        "costs",
    )

    def __init__(self, costs: GenerationCosts) -> None:
        self.costs = costs
        # Means over those that came: in flight, long answers are over-represented.
        self._num_seen = 0
        self._mean_input = self._mean_output = 0.0
        self.clear()

    def clear(self) -> None:
        """Nothing is in flight."""
        self._num_answers = self._input_tokens = self._attended_tokens = self._output_tokens = 0
        self._num_requests = self._num_elsewhere = 0

    def heard(self, num_held: int) -> None:
        """How many requests of all front ends a heartbeat told of."""
        self._num_elsewhere = max(0, num_held - self._num_requests)

    def can_ever_run(self, request: Request) -> bool:
        num_samples = max(request.num_samples, 1)
        return self.costs.limits.can_ever_run(request.input_tokens, request.output_tokens, num_samples)

    def add(self, request: Request, *, num_hit: int = 0) -> None:
        """num_hit: tokens of its prompt that are in the cache there: it neither computes nor holds them."""
        self._count(request, 1, num_hit)
        self._num_seen = min(self._num_seen + 1, _NUM_REMEMBERED)
        num_samples = max(request.num_samples, 1)
        self._mean_input += (
            (request.input_tokens - num_hit) / num_samples - self._mean_input
        ) / self._num_seen
        self._mean_output += (request.predicted_tokens - self._mean_output) / self._num_seen

    def remove(self, request: Request, *, num_hit: int = 0) -> None:
        """num_hit: as when it was added."""
        self._count(request, -1, num_hit)

    @property
    def capacity(self) -> float:
        """How many answers like those in flight fit the limits at once."""
        limits = self.costs.limits
        there = self._there
        if not there.num_answers:
            return limits.max_sequences
        tokens_each = (there.input_tokens + there.output_tokens) / there.num_answers
        return max(1.0, min(limits.max_sequences, limits.num_pages * limits.page_tokens / tokens_each))

    @property
    def company(self) -> Company:
        """Those in flight that decode at once, halfway through their answers.

        Where prompts fill the steps, of the tokens of a step no more are decoded than of all tokens: answers
        cannot go faster than the prompts of those who follow.
        """
        there = self._there
        if not there.num_answers:
            return Company()
        budget = self.costs.limits.max_batched_tokens * len(self.costs.times)
        balanced = budget * self._mean_output / (self._mean_input + self._mean_output)
        share = min(1.0, self.capacity / there.num_answers, max(1.0, balanced) / there.num_answers)
        kv_tokens = there.attended_tokens + there.output_tokens / 2
        return Company(share * there.num_answers, share * kv_tokens, self._mean_input / self._mean_output)

    @property
    def queue_s(self) -> float:
        """How long one more waits for a place: those before it leave at the pace at which answers end."""
        num_answers = self._there.num_answers
        surplus = num_answers + 1 - self.capacity
        if not num_answers or surplus <= 0:
            return 0.0
        answer_s = self._mean_output * self.costs.step_s(self.company)
        return surplus / self.capacity * answer_s

    @property
    def _there(self) -> _There:
        # Of lengths nothing is known before the first request of our own.
        num_others = self._num_elsewhere if self._num_seen else 0
        return _There(
            self._num_answers + num_others,
            self._input_tokens + num_others * self._mean_input,
            self._attended_tokens + num_others * self._mean_input,
            self._output_tokens + num_others * self._mean_output,
        )

    def _count(self, request: Request, sign: int, num_hit: int) -> None:
        self._num_requests += sign
        num_samples = max(request.num_samples, 1)
        self._num_answers += sign * num_samples
        self._input_tokens += sign * (request.input_tokens - num_hit)
        self._attended_tokens += sign * num_samples * request.input_tokens
        self._output_tokens += sign * num_samples * request.predicted_tokens


@final
@dataclass(frozen=True, slots=True)
class GeneratingCandidate:
    """A group that holds the model, and what one request of some length takes there now.

    stages_s: work of its prompt; more_s: what the prompt takes beyond that; place_s: until a sequence less
    runs; answer_s: from the first token to the last. sent: what is believed to be in the cache there;
    num_hit: how many tokens of the prompt are.
    """

    group: GroupLoad
    model_load: GenerationLoad
    request: Request
    stages_s: StageSeconds
    more_s: float
    place_s: float
    answer_s: float
    sent: SentPrefixes | None = None
    num_hit: int = 0

    def first_token_s(self, now_s: float) -> float:
        """When the prompts sent there before are computed and it has a place, its own still to compute."""
        after_others_s = self.group.clock.finish_s(now_s, self.stages_s)
        return max(after_others_s, now_s + self.place_s + sum(self.stages_s)) + self.more_s

    def finish_s(self, now_s: float) -> float:
        return self.first_token_s(now_s) + self.answer_s

    def take(self, now_s: float) -> float:
        """The request goes there; returns its predicted finish."""
        finish_s = self.finish_s(now_s)
        self.model_load.add(self.request, num_hit=self.num_hit)
        self.group.add(now_s, self.stages_s)
        if self.sent is not None:
            self.sent.send(self.request)
        return finish_s

    def served(self, finish_s: float) -> None:
        self.model_load.remove(self.request, num_hit=self.num_hit)
        self.group.remove(finish_s)

    def dropped(self, now_s: float) -> None:
        self.model_load.remove(self.request, num_hit=self.num_hit)
        self.group.remove(now_s, unused_s=self.stages_s)


def generating_candidate(
    group: GroupLoad, model_load: GenerationLoad, request: Request, *, sent: SentPrefixes | None = None
) -> GeneratingCandidate:
    """What `request` would take there, beside those in flight now. sent: None where nothing is cached."""
    costs, company = model_load.costs, model_load.company
    num_hit = 0 if sent is None else sent.num_hit(request)
    input_tokens = max(request.input_tokens, 1) - num_hit
    work_s = costs.prompt_work_s(input_tokens, company)
    return GeneratingCandidate(
        group=group,
        model_load=model_load,
        request=request,
        stages_s=work_s,
        more_s=sum(costs.prompt_s(input_tokens, company, num_hit=num_hit)) - sum(work_s),
        place_s=model_load.queue_s,
        answer_s=costs.answer_s(request, company),
        sent=sent,
        num_hit=num_hit,
    )
