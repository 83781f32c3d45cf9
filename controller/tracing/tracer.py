"""Which requests are traced, and what is told of them when they end; nothing is done before that."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from controller.calls import Refusal
from controller.pending import Answer, Pending
from controller.tracing.asking import ASKING, Asking, CallTrace, drawn_trace_id
from controller.tracing.outbox import Outbox
from controller.tracing.record import TokenTimes, record_of, turned_away_record
from controller.tracing.traceparent import TRACEPARENT, TRACESTATE, parent_of

# Takes the name of a header in lower case.
Header = Callable[[str], str | None]
# A trace is recorded if these bits of its id, as a number, are small enough: other services with the same
# ratio then record the same traces.
_RATIO_BITS = 2**64


class AbstractTracer(ABC):
    """What endpoints and the fleet's server ask. All on the event loop.

    is_on: whether requests need be received.
    """

    is_on: bool

    @abstractmethod
    def receive(self, header: Header, *, operation: str = "") -> None:
        """The running task begins to answer a request with these headers.

        operation: as of `Asking`.
        """

    @abstractmethod
    def begin(self) -> CallTrace | None:
        """Of a call that the running task makes; None where its trace is not recorded."""

    @abstractmethod
    def end(
        self, pending: Pending, answer: Answer, *, group: str, now_s: float, tokens: TokenTimes | None
    ) -> None:
        """A call was answered whose trace is recorded (`Pending.trace`)."""

    @abstractmethod
    def turn_away(self, model: str, refusal: Refusal, *, protocol: str, call_id: str) -> None:
        """The running task's request was refused before it was a call."""


@final
class NoTracer(AbstractTracer):
    """No trace is recorded, and none looked for."""

    is_on = False

    def receive(self, header: Header, *, operation: str = "") -> None:
        return None

    def begin(self) -> CallTrace | None:
        return None

    def end(
        self, pending: Pending, answer: Answer, *, group: str, now_s: float, tokens: TokenTimes | None
    ) -> None:
        return None

    def turn_away(self, model: str, refusal: Refusal, *, protocol: str, call_id: str) -> None:
        return None


NO_TRACER = NoTracer()


@final
class Tracer(AbstractTracer):
    """The caller says whether a trace is recorded; of traces that begin here, `sample_ratio` are."""

    is_on = True

    def __init__(
        self,
        outbox: Outbox,
        *,
        sample_ratio: float,
        clock: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
    ) -> None:
        """clock: the fleet's."""
        self._outbox = outbox
        self._bound = round(sample_ratio * _RATIO_BITS)
        self._clock = clock
        self._unix = unix

    def receive(self, header: Header, *, operation: str = "") -> None:
        parent = parent_of(header(TRACEPARENT), header(TRACESTATE))
        if parent is not None:
            asking = Asking(
                parent.trace_id,
                parent.span_id,
                parent.is_sampled,
                self._clock(),
                is_remote=True,
                state=parent.state,
                operation=operation,
            )
            ASKING.set(asking)
            return
        trace_id = drawn_trace_id()
        is_sampled = trace_id % _RATIO_BITS < self._bound
        # A task may have been begun by one that answers another request.
        ASKING.set(Asking(trace_id, 0, True, self._clock(), operation=operation) if is_sampled else None)

    def begin(self) -> CallTrace | None:
        asking = ASKING.get()
        return None if asking is None or not asking.is_sampled else asking.call()

    def end(
        self, pending: Pending, answer: Answer, *, group: str, now_s: float, tokens: TokenTimes | None
    ) -> None:
        trace = pending.trace
        if trace is not None:
            record = record_of(pending, trace, answer, group=group, now_s=now_s, tokens=tokens)
            self._outbox.put(record, clock_to_unix_s=self._unix() - now_s)

    def turn_away(self, model: str, refusal: Refusal, *, protocol: str, call_id: str) -> None:
        trace = self.begin()
        if trace is not None:
            now_s = self._clock()
            record = turned_away_record(
                trace, model, refusal, protocol=protocol, call_id=call_id, now_s=now_s
            )
            self._outbox.put(record, clock_to_unix_s=self._unix() - now_s)
