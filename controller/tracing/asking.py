"""The request that the running task answers, as its trace sees it: set by endpoints, read by the fleet."""

from __future__ import annotations

import random
from contextvars import ContextVar
from dataclasses import dataclass, field

from vocabulary.placement import Group


@dataclass(slots=True)
class Asking:
    """One request at an endpoint. parent_id: 0 for none; is_remote: it is the caller's.

    received_s: when its handling began, on the fleet's clock. operation: as GenAI conventions name it, "" if
    the model says. state: the tracestate.
    """

    trace_id: int
    parent_id: int
    is_sampled: bool
    received_s: float
    is_remote: bool = False
    state: str = ""
    operation: str = ""

    def call(self) -> CallTrace:
        """Of one call that the request makes. Without a caller's span, further calls go below the first."""
        trace = CallTrace(self, drawn_span_id(), self.parent_id, self.is_remote)
        if not self.parent_id:
            self.parent_id = trace.span_id
        return trace


@dataclass(frozen=True, slots=True)
class Try:
    """The call was given to a group. predicted_finish_s: of its last stage."""

    at_s: float
    group: Group
    predicted_finish_s: float


@dataclass(slots=True)
class CallTrace:
    """One call whose trace is recorded: its own span, and the groups that it was given to, in order."""

    asking: Asking
    span_id: int
    parent_id: int
    is_remote: bool
    tries: list[Try] = field(default_factory=list)

    @property
    def trace_id(self) -> int:
        return self.asking.trace_id


# Each request is answered in a task of its own, and what it starts inherits this.
ASKING: ContextVar[Asking | None] = ContextVar("statmux_asking", default=None)


def drawn_span_id() -> int:
    """Never 0, which means none."""
    return random.getrandbits(64) or 1


def drawn_trace_id() -> int:
    """As above."""
    return random.getrandbits(128) or 1


def trace_hex(trace_id: int) -> str:
    """As backends show it."""
    return f"{trace_id:032x}"


def add_trace_id(logger: object, method: str, event: dict[str, object]) -> dict[str, object]:
    """A processor of structlog: what is logged while a request is answered says of which trace it is."""
    asking = ASKING.get()
    if asking is not None:
        event["trace_id"] = trace_hex(asking.trace_id)
    return event
