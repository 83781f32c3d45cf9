"""Why a request was not served, in words for the client."""

from __future__ import annotations

from controller.calls import Reason, Refusal
from vocabulary.request import Fate, Request


def refusal(request: Request, fate: Fate, *, now_s: float, error: str = "") -> Refusal:
    """The refusal of a request that ended with `fate` (not SERVED)."""
    if fate in (Fate.CANCELLED, Fate.SLO_INFEASIBLE) and now_s >= request.deadline_s:
        return Refusal(Reason.DEADLINE_EXCEEDED, "the request's deadline passed before it could be served")
    if fate is Fate.INVALID:
        return Refusal(Reason.INVALID_TENSOR, f"model {request.model!r}: {error}")
    allowed_s = min(request.slo_s, request.deadline_s - request.arrival_s)
    words = _WORDS[fate].format(model=request.model, allowed_s=allowed_s, error=error or "its worker is gone")
    return Refusal(Reason[fate.name], words, _RETRY_AFTER_S.get(fate))


# What may be over soon. A request that cannot meet its SLO gets no hint: asking again only adds load.
_RETRY_AFTER_S = {Fate.QUEUE_FULL: 1.0, Fate.UNAVAILABLE: 1.0}
_WORDS = {
    Fate.SLO_INFEASIBLE: "model {model!r} would answer later than the {allowed_s:.6g} s allowed",
    Fate.QUEUE_FULL: "the queue of model {model!r} is full",
    Fate.NOT_PLACED: "no group of the placement holds model {model!r}",
    Fate.UNAVAILABLE: "no group that holds model {model!r} is open",
    Fate.DEADLINE_EXCEEDED: "the request's deadline passed before it could be served",
    Fate.CANCELLED: "the request was cancelled",
    Fate.FAILED: "the group that ran the request failed: {error}",
}
