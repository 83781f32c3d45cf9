"""All that a trace tells of one call, as it was when the call was answered."""

from __future__ import annotations

from dataclasses import dataclass

from controller.calls import Reason, Refusal
from controller.pending import Answer, Pending
from controller.tracing.asking import CallTrace
from vocabulary.units import NEVER_S
from workers.frames import Done


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Of an answer that came token by token. first_token_s: NEVER_S where none came."""

    first_token_s: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Times are on the fleet's clock. reason: why it was refused, None where it was served.

    arrival_s: NEVER_S of a call that was turned away before it was one. model: with its version. group: that
    answered. done: what its worker said. input_tokens, max_tokens, num_samples: of one that generates.
    """

    trace: CallTrace
    model: str
    protocol: str
    call_id: str
    ended_s: float
    reason: Reason | None = None
    words: str = ""
    arrival_s: float = NEVER_S
    slo_s: float = NEVER_S
    deadline_s: float = NEVER_S
    tenant: str = ""
    group: str = ""
    done: Done | None = None
    generates: bool = False
    input_tokens: int = 0
    max_tokens: int = 0
    num_samples: int = 1
    tokens: TokenTimes | None = None


def record_of(
    pending: Pending,
    trace: CallTrace,
    answer: Answer,
    *,
    group: str,
    now_s: float,
    tokens: TokenTimes | None = None,
) -> CallRecord:
    """Of a call with its answer."""
    request = pending.request
    is_refused = isinstance(answer, Refusal)
    return CallRecord(
        trace,
        request.model,
        pending.protocol,
        pending.call_id,
        now_s,
        answer.reason if is_refused else None,
        answer.message if is_refused else "",
        request.arrival_s,
        request.slo_s,
        request.deadline_s,
        request.tenant,
        group,
        pending.done,
        request.generates,
        request.input_tokens,
        request.output_tokens,
        request.num_samples,
        tokens,
    )


def turned_away_record(
    trace: CallTrace, model: str, refusal: Refusal, *, protocol: str, call_id: str, now_s: float
) -> CallRecord:
    """Of a call that was refused for its form, or because nobody knows who makes it."""
    return CallRecord(trace, model, protocol, call_id, now_s, refusal.reason, refusal.message)
