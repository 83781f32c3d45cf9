"""A journal's line of a call that was answered."""

from __future__ import annotations

from controller.calls import InferReply, Refusal
from controller.journal.lines import SERVED, RequestLine
from controller.pending import Answer, Pending
from controller.token_streams import Ended
from vocabulary.units import NEVER_S


def line_of(pending: Pending, answer: Answer, *, group: str, now_s: float, unix_s: float) -> RequestLine:
    """group: whose the answer is, "" for nobody's. now_s, unix_s: this instant, on both clocks."""
    request = pending.request
    latency_s = now_s - request.arrival_s
    fate, words = (answer.reason.value, answer.message) if isinstance(answer, Refusal) else (SERVED, "")
    return RequestLine(
        pending.call_id,
        request.model,
        unix_s - latency_s,
        latency_s,
        fate,
        words,
        request.tenant,
        group,
        _or_none(pending.predicted_finish_s - request.arrival_s),
        _or_none(request.slo_s),
        _or_none(request.deadline_s - request.arrival_s),
        answer.queue_s if isinstance(answer, InferReply | Ended) else None,
        pending.num_tries,
        pending.protocol,
    )


def turned_away_line(
    call_id: str, model: str, refusal: Refusal, *, protocol: str, unix_s: float
) -> RequestLine:
    """Of a call that was refused for its form, or because nobody knows who makes it."""
    return RequestLine(
        call_id, model, unix_s, 0.0, refusal.reason.value, refusal.message, num_tries=0, protocol=protocol
    )


def _or_none(seconds: float) -> float | None:
    return None if seconds == NEVER_S else seconds
