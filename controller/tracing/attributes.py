"""What the span of a call says besides its times: attributes, events, and whether it is an error.

Names follow OpenTelemetry's conventions for generative AI where these have one (status: development).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from controller.calls import Reason
from controller.tracing.record import CallRecord
from controller.tracing.span import SpanEvent, Value, milliseconds
from vocabulary.versions import parted

PROVIDER = "statmux"
INFER, GENERATE = "infer", "generate_content"
# These are the caller's doing, so that the span of the server is no error.
_CALLERS = frozenset(
    {
        Reason.CANCELLED,
        Reason.UNKNOWN_MODEL,
        Reason.UNKNOWN_VERSION,
        Reason.INVALID_TENSOR,
        Reason.INVALID_PARAMETER,
        Reason.INVALID_REQUEST,
        Reason.CONTEXT_LENGTH_EXCEEDED,
        Reason.UNAUTHENTICATED,
        Reason.PERMISSION_DENIED,
        Reason.UNSUPPORTED,
    }
)


def operation_of(record: CallRecord) -> str:
    """As the conventions name it, and `infer` where they have no name."""
    return record.trace.asking.operation or (GENERATE if record.generates else INFER)


def model_of(record: CallRecord) -> str:
    """Without its version; "" where nobody knew it."""
    return parted(record.model)[0]


def error_of(record: CallRecord) -> str:
    """In words, "" where the call was served, or its caller is who should do something else."""
    if record.reason is None or record.reason in _CALLERS:
        return ""
    return record.words or record.reason.value


def attributes_of(record: CallRecord) -> dict[str, Value]:
    """All of them."""
    model = model_of(record)
    return {
        "gen_ai.operation.name": operation_of(record),
        "gen_ai.provider.name": PROVIDER,
        **({"gen_ai.request.model": model} if model else {}),
        "statmux.protocol": record.protocol,
        "statmux.request_id": record.call_id,
        **_outcome(record),
        **_objectives(record),
        **(_usage(record) if record.generates else {}),
    }


def events_of(record: CallRecord) -> Iterator[SpanEvent]:
    """What happened at one instant."""
    for number, one in enumerate(record.trace.tries[1:], start=2):
        told: dict[str, Value] = {"statmux.group": one.group.id, "statmux.try": number}
        yield SpanEvent("retry: the group before was lost", one.at_s, told)
    if record.tokens is not None and isfinite(record.tokens.first_token_s):
        yield SpanEvent("first token", record.tokens.first_token_s)


def _outcome(record: CallRecord) -> dict[str, Value]:
    tries, done = record.trace.tries, record.done
    found: dict[str, Value] = {"statmux.tries": len(tries)}
    if record.reason is not None:
        found["error.type"] = record.reason.value
    else:
        found["gen_ai.response.model"] = record.model
    found["statmux.admission"] = "admitted" if tries or record.reason is None else record.reason.value
    if record.group:
        found["statmux.group"] = record.group
    if record.tenant:
        found["statmux.tenant"] = record.tenant
    if tries and isfinite(tries[-1].predicted_finish_s):
        found["statmux.predicted_ms"] = milliseconds(tries[-1].predicted_finish_s - record.arrival_s)
    if done is not None and isfinite(done.start_s):
        found["statmux.queue_ms"] = milliseconds(done.start_s - record.arrival_s)
        found["statmux.batch_size"] = done.batch_size
    return found


def _objectives(record: CallRecord) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if isfinite(record.slo_s):
        found["statmux.slo_ms"] = milliseconds(record.slo_s)
    if isfinite(record.deadline_s):
        found["statmux.deadline_ms"] = milliseconds(record.deadline_s - record.arrival_s)
    return found


def _usage(record: CallRecord) -> dict[str, Value]:
    found: dict[str, Value] = {
        "gen_ai.request.max_tokens": record.max_tokens,
        "gen_ai.usage.input_tokens": record.input_tokens,
    }
    if record.num_samples > 1:
        found["gen_ai.request.choice.count"] = record.num_samples
    if record.tokens is not None:
        found["gen_ai.usage.output_tokens"] = record.tokens.num_tokens
        if isfinite(record.tokens.first_token_s):
            found["gen_ai.response.time_to_first_chunk"] = record.tokens.first_token_s - record.arrival_s
    if record.done is not None and record.reason is None:
        found["gen_ai.response.finish_reasons"] = record.done.reasons
        found["gen_ai.usage.cache_read.input_tokens"] = record.done.num_cached
    return found
