"""Which trace a caller's request belongs to: the headers of W3C Trace Context, level 1."""

from __future__ import annotations

import re
from dataclasses import dataclass

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
# What a tracestate may hold at least, by the recommendation; a longer one is not carried on.
_MAX_STATE_CHARS = 512


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span. state: of its vendors, as it came."""

    trace_id: int
    span_id: int
    is_sampled: bool
    state: str = ""


def parent_of(traceparent: str | None, tracestate: str | None) -> Parent | None:
    """None where there is no trace, or none that can be read: the request begins one of its own then."""
    if traceparent is None:
        return None
    found = _FORM.fullmatch(traceparent.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    # Later versions may say more behind the flags; the first one may not.
    if version == "ff" or (version == "00" and more):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = tracestate if tracestate is not None and len(tracestate) <= _MAX_STATE_CHARS else ""
    return Parent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED), state)
