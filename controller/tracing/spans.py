"""From what was recorded of a call to the spans that tell it. Pure; knows nothing of OpenTelemetry's SDK."""

from __future__ import annotations

from controller.tracing.attributes import attributes_of, error_of, events_of, model_of, operation_of
from controller.tracing.parts import parts_of
from controller.tracing.record import CallRecord
from controller.tracing.span import Part, Span
from vocabulary.units import NEVER_S

_MAX_ID = 2**64


def spans_of(record: CallRecord) -> tuple[Span, ...]:
    """The call, then its parts in order."""
    parts = tuple(parts_of(record))
    return (_whole(record), *(_span(record, part, number) for number, part in enumerate(parts, start=1)))


def num_spans(record: CallRecord) -> int:
    """As many as `spans_of` makes, counted in a microsecond: on the event loop, where they are dropped."""
    if record.arrival_s == NEVER_S:
        return 1
    num = 2 + (record.trace.asking.received_s < record.arrival_s)
    times = record.done.times if record.done is not None and record.trace.tries else None
    if times is None:
        return num
    is_generated = times.prefill is not None
    return num + len(times.stages) + is_generated + (is_generated and times.decode is not None)


def _span(record: CallRecord, part: Part, number: int) -> Span:
    """What a worker's clock says may be off by a fraction of a millisecond: nothing leaves the call."""
    first_s, last_s = _start_s(record), record.ended_s
    start_s = min(max(part.start_s, first_s), last_s)
    return Span(
        part.name,
        record.trace.trace_id,
        _id(record, number),
        _id(record, part.below),
        start_s,
        min(max(part.end_s, start_s), last_s),
        part.attributes,
        part.events,
        state=record.trace.asking.state,
    )


def _id(record: CallRecord, number: int) -> int:
    """Of the call itself, 0, or of one of its parts: unlike any other of the trace, and never 0."""
    return (record.trace.span_id + number) % _MAX_ID or _MAX_ID // 2


def _start_s(record: CallRecord) -> float:
    return min(record.trace.asking.received_s, record.arrival_s, record.ended_s)


def _whole(record: CallRecord) -> Span:
    trace = record.trace
    return Span(
        f"{operation_of(record)} {model_of(record)}".rstrip(),
        trace.trace_id,
        trace.span_id,
        trace.parent_id,
        _start_s(record),
        record.ended_s,
        attributes_of(record),
        tuple(events_of(record)),
        is_server=True,
        is_remote_parent=trace.is_remote,
        state=trace.asking.state,
        error=error_of(record),
    )
