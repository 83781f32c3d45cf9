"""A request as the scheduler knows it: no payload, only what decisions need."""

from __future__ import annotations

from enum import Enum

import msgspec

from vocabulary.generation import Prefix
from vocabulary.units import NEVER_S, TIME_TOLERANCE_S


class Fate(Enum):
    """How a request ended. The value is the `reason` of outcome files and of rejections."""

    SERVED = "served"
    SLO_INFEASIBLE = "slo_infeasible"  # refused at admission: predicted to finish late
    QUEUE_FULL = "queue_full"
    NOT_PLACED = "not_placed"  # no group holds the model
    UNAVAILABLE = "unavailable"  # the groups that hold it are loading or lost
    DEADLINE_EXCEEDED = "deadline_exceeded"  # accepted, then too late to be worth starting
    CANCELLED = "cancelled"
    INVALID = "invalid"  # the model cannot take the input (a token outside its vocabulary, too long)
    FAILED = "failed"  # the worker answered with an error
    LOST = "lost"  # its worker died while it ran, or before, and no other may take it in time


class Request(msgspec.Struct, frozen=True, gc=False):
    """`id` orders ties (lower first). A request without output tokens is one-shot.

    deadline_s: the client does not wait past it; slo_s: the latency objective from arrival; ttft_s, tpot_s:
    objectives of the time to the first token, and of the mean time of each token after it. prefix: how the
    prompt begins, where that is known. output_tokens: the most that it may generate; expected_tokens: what
    predictions go by instead, 0 where all are expected. num_samples: answers to the one prompt. tenant: whose
    it is, for fair queueing.
    """

    id: int
    model: str
    arrival_s: float
    slo_s: float = NEVER_S
    deadline_s: float = NEVER_S
    input_tokens: int = 0
    output_tokens: int = 0
    prefix: Prefix | None = None
    ttft_s: float = NEVER_S
    tpot_s: float = NEVER_S
    expected_tokens: int = 0
    num_samples: int = 1
    tenant: str = ""

    @property
    def generates(self) -> bool:
        """Whether the answer comes token by token."""
        return self.output_tokens > 0

    @property
    def predicted_tokens(self) -> int:
        """Tokens of one answer, as predictions take them."""
        return min(self.expected_tokens or self.output_tokens, self.output_tokens)

    def is_in_time(self, finish_s: float) -> bool:
        """Whether an end at `finish_s` keeps the SLO and the client's deadline."""
        latency_s = finish_s - self.arrival_s
        return latency_s <= self.slo_s + TIME_TOLERANCE_S and finish_s <= self.deadline_s + TIME_TOLERANCE_S

    def keeps_pace(self, first_token_s: float, finish_s: float) -> bool:
        """Whether tokens predicted from `first_token_s` to `finish_s` keep the objectives of both."""
        if first_token_s - self.arrival_s > self.ttft_s + TIME_TOLERANCE_S:
            return False
        num_gaps = self.predicted_tokens - 1
        return num_gaps <= 0 or (finish_s - first_token_s) / num_gaps <= self.tpot_s + TIME_TOLERANCE_S

    @property
    def due_s(self) -> float:
        """The earliest of the SLO, that of the first token, and the client's deadline, as a time."""
        return min(self.arrival_s + min(self.slo_s, self.ttft_s), self.deadline_s)
