"""What was asked of a fleet of late: arrivals and whether answers were in time, in rings of numpy columns."""

from __future__ import annotations

from typing import final

import numpy as np

from controller.calls import Reason, Refusal
from controller.journal.lines import SERVED, RequestLine
from controller.pending import Answer, Pending
from placement.drift import Observation, rhythms_of
from vocabulary.trace import Tokens, Trace
from vocabulary.units import NEVER_S, TIME_TOLERANCE_S

# 300 s of 600 requests a second, 5 MB. A window that is longer than what is held is the shorter for it.
MAX_REQUESTS = 200_000
_MISSED, _GOOD, _NOT_JUDGED = 0, 1, 2
# What a client did to itself says nothing of the plan.
_OF_CLIENTS = frozenset({
    Reason.CANCELLED, Reason.INVALID_TENSOR, Reason.INVALID_PARAMETER, Reason.INVALID_REQUEST,
    Reason.CONTEXT_LENGTH_EXCEEDED, Reason.UNKNOWN_MODEL, Reason.UNKNOWN_VERSION, Reason.UNAUTHENTICATED,
    Reason.NOT_LOADED, Reason.DRAINING,
})  # fmt: skip
_FATES_OF_CLIENTS = frozenset(reason.value for reason in _OF_CLIENTS)


@final
class ObservedTraffic:
    """Hears of requests when they are answered, and knows when they came. One loop only; O(1) a request."""

    def __init__(self, *, max_requests: int = MAX_REQUESTS) -> None:
        self._size = max_requests
        # Written to at once: memory that is taken with the first write would look like a leak for hours.
        self._arrival_s = np.full(max_requests, 0.0)
        self._model = np.full(max_requests, 0, dtype=np.int32)
        self._input_tokens = np.full(max_requests, 0, dtype=np.int32)
        self._output_tokens = np.full(max_requests, 0, dtype=np.int32)
        self._outcome = np.full(max_requests, 0, dtype=np.int8)
        self._count = 0
        self._index: dict[str, int] = {}
        self._last_s: dict[str, float] = {}
        self._start_s: float | None = None

    def answered(self, pending: Pending, answer: Answer, group: str, now_s: float) -> None:
        """As `PendingCalls` tells it."""
        request = pending.request
        self.add(
            request.model,
            request.arrival_s,
            input_tokens=request.input_tokens,
            output_tokens=request.predicted_tokens,
            outcome=_outcome(pending, answer, now_s),
        )

    def told(self, line: RequestLine, *, arrival_s: float) -> None:
        """What a further front end has answered. How many tokens it was about is not known."""
        if line.fate in _FATES_OF_CLIENTS or line.slo_s is None:
            outcome = _NOT_JUDGED
        else:
            in_time = line.latency_s <= line.slo_s + TIME_TOLERANCE_S
            outcome = _GOOD if line.fate == SERVED and in_time else _MISSED
        self.add(line.model, arrival_s, outcome=outcome)

    def add(
        self,
        model: str,
        arrival_s: float,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        outcome: int = _NOT_JUDGED,
    ) -> None:
        row = self._count % self._size
        self._arrival_s[row] = arrival_s
        self._model[row] = self._index.setdefault(model, len(self._index))
        self._input_tokens[row] = input_tokens
        self._output_tokens[row] = output_tokens
        self._outcome[row] = outcome
        self._count += 1
        self._last_s[model] = max(arrival_s, self._last_s.get(model, arrival_s))
        if self._start_s is None:
            self._start_s = arrival_s

    def last_s(self, model: str) -> float | None:
        """When its last request came of those that are answered."""
        return self._last_s.get(model)

    def span_s(self, now_s: float, window_s: float) -> float:
        """How much of the window is known."""
        if self._start_s is None:
            return 0.0
        oldest_s = self._start_s if self._count <= self._size else float(self._arrival_s.min())
        return min(window_s, now_s - oldest_s)

    def trace(self, now_s: float, window_s: float) -> Trace:
        """Arrivals of the window, from its start on."""
        start_s = now_s - self.span_s(now_s, window_s)
        rows = self._rows(start_s)
        inputs, outputs = self._input_tokens[rows], self._output_tokens[rows]
        tokens = Tokens(inputs, outputs) if inputs.any() or outputs.any() else None
        arrival_s = np.maximum(self._arrival_s[rows] - start_s, 0.0)
        return Trace(arrival_s, self._model[rows], tuple(self._index), tokens)

    def observation(self, now_s: float, window_s: float) -> Observation:
        """The window as `placement.drift` compares it."""
        span_s = self.span_s(now_s, window_s)
        outcome = self._outcome[self._rows(now_s - span_s)]
        return Observation(
            rhythms_of(self.trace(now_s, window_s), span_s=span_s),
            num_answered=int((outcome != _NOT_JUDGED).sum()),
            num_good=int((outcome == _GOOD).sum()),
        )

    def _rows(self, start_s: float) -> np.ndarray:
        """Positions in the ring, by arrival."""
        held = min(self._count, self._size)
        rows = np.flatnonzero(self._arrival_s[:held] >= start_s)
        return rows[np.argsort(self._arrival_s[rows], kind="stable")]


def _outcome(pending: Pending, answer: Answer, now_s: float) -> int:
    """Only requests with one reply are judged: of answers token by token, objectives are several."""
    request = pending.request
    if request.generates or request.slo_s == NEVER_S:
        return _NOT_JUDGED
    if isinstance(answer, Refusal):
        return _NOT_JUDGED if answer.reason in _OF_CLIENTS else _MISSED
    return _GOOD if now_s - request.arrival_s <= request.slo_s + TIME_TOLERANCE_S else _MISSED
