"""Spans and their parts, before OpenTelemetry's SDK makes its own of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Value = bool | int | float | str | Sequence[str] | Sequence[float]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    name: str
    at_s: float
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """Times are on the fleet's clock. parent_id: 0 for none. error: in words, "" where it is none."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int
    start_s: float
    end_s: float
    attributes: Mapping[str, Value]
    events: tuple[SpanEvent, ...] = ()
    is_server: bool = False
    is_remote_parent: bool = False
    state: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Of a call. below: number of the part that it belongs to, 0 the call itself."""

    name: str
    start_s: float
    end_s: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    below: int = 0


def milliseconds(seconds: float) -> float:
    """Without the noise of the last digits."""
    return round(seconds * 1e3, 6)
