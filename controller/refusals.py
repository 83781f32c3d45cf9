"""Why a request was not served, in words for the client."""

from __future__ import annotations

from collections.abc import Sequence

from controller.calls import Reason, Refusal
from vocabulary.generation import GenerationLimits
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S


def refusal(
    request: Request,
    fate: Fate,
    *,
    now_s: float,
    error: str = "",
    limits: Sequence[GenerationLimits] = (),
) -> Refusal:
    """The refusal of a request that ended with `fate` (not SERVED).

    error: a worker's words. limits: of its model on every group that holds it, where the model generates.
    """
    if fate in (Fate.CANCELLED, Fate.SLO_INFEASIBLE) and now_s >= request.deadline_s:
        return Refusal(Reason.DEADLINE_EXCEEDED, _WORDS[Fate.DEADLINE_EXCEEDED])
    if fate is Fate.INVALID:
        return _invalid(request, error, limits)
    words = _WORDS[fate].format(
        model=request.model, too_late=_too_late(request), error=error or "its worker is gone"
    )
    return Refusal(Reason[fate.name], words, _RETRY_AFTER_S.get(fate))


def _too_late(request: Request) -> str:
    """All that the request was to keep: which of them is at risk is not told with its fate."""
    asked = {
        "give the first token later than the {:.6g} s allowed": request.ttft_s,
        "take more than {:.6g} s a token": request.tpot_s,
        "answer later than the {:.6g} s allowed": request.slo_s,
        "answer after the client's time-out of {:.6g} s": request.deadline_s - request.arrival_s,
    }
    return " or ".join(words.format(seconds) for words, seconds in asked.items() if seconds != NEVER_S)


def _invalid(request: Request, error: str, limits: Sequence[GenerationLimits]) -> Refusal:
    if not request.generates:
        return Refusal(Reason.INVALID_TENSOR, f"model {request.model!r}: {error}")
    if error or not limits:
        return Refusal(Reason.INVALID_PARAMETER, f"model {request.model!r}: {error or 'it does not fit'}")
    if any(_fits(request, one) for one in limits):
        words = f"no group of model {request.model!r} that is open now can hold so long a request"
        return Refusal(Reason.UNAVAILABLE, words, _RETRY_AFTER_S[Fate.UNAVAILABLE])
    return _never_fits(request, max(limits, key=lambda one: one.num_pages * one.page_tokens))


def _fits(request: Request, limits: GenerationLimits) -> bool:
    return limits.can_ever_run(request.input_tokens, request.output_tokens, max(request.num_samples, 1))


def _never_fits(request: Request, limits: GenerationLimits) -> Refusal:
    """What of the limits is in the way, as `GenerationLimits.can_ever_run` has it."""
    model, num_samples = request.model, max(request.num_samples, 1)
    if num_samples > limits.max_sequences:
        words = f"model {model!r} gives at most {limits.max_sequences} answers at once; n is {num_samples}"
        return Refusal(Reason.INVALID_PARAMETER, words)
    lengths = f"a prompt of {request.input_tokens} tokens with an answer of up to {request.output_tokens}"
    num_pages = limits.pages_in_the_end(
        request.input_tokens, request.output_tokens - 1, num_samples if limits.reserves_output else 1
    )
    if num_pages > limits.num_pages:
        each = f" for each of {num_samples}" if num_samples > 1 and limits.reserves_output else ""
        words = (
            f"{lengths}{each} takes {num_pages} pages of {limits.page_tokens} tokens, and the cache of model "
            f"{model!r} has {limits.num_pages}; shorten the prompt or ask for fewer tokens"
        )
        return Refusal(Reason.CONTEXT_LENGTH_EXCEEDED, words)
    words = (
        f"model {model!r} computes a prompt in one step, of at most {limits.max_batched_tokens} tokens; "
        f"{lengths} may need more; shorten the prompt or ask for fewer tokens"
    )
    return Refusal(Reason.CONTEXT_LENGTH_EXCEEDED, words)


# What may be over soon. A request that cannot meet its SLO gets no hint: asking again only adds load.
_RETRY_AFTER_S = {Fate.QUEUE_FULL: 1.0, Fate.UNAVAILABLE: 1.0}
_WORDS = {
    Fate.SLO_INFEASIBLE: "model {model!r} would {too_late}",
    Fate.QUEUE_FULL: "the queue of model {model!r} is full",
    Fate.NOT_PLACED: "no group of the placement holds model {model!r}",
    Fate.UNAVAILABLE: "no group that holds model {model!r} is open",
    Fate.DEADLINE_EXCEEDED: "the request's deadline passed before its answer was complete",
    Fate.CANCELLED: "the request was cancelled",
    Fate.FAILED: "the group that ran the request failed: {error}",
    Fate.LOST: "the worker of the request is gone; nobody has its answer",
}
