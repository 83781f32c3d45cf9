"""Calls that have not been answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from controller.calls import InferReply, Refusal
from controller.fleet import Pulse
from controller.metrics import FleetMetrics
from controller.token_streams import Ended
from controller.tracing.asking import CallTrace
from vocabulary.request import Request
from vocabulary.tensors import Tensor
from vocabulary.units import NEVER_S
from workers.frames import Done, Frame

Answer = InferReply | Ended | Refusal


@dataclass(slots=True)
class Pending:
    """One call. call_id: by which its client knows it. tell: hears the answer.

    predicted_finish_s: of its last stage, once it was forwarded. num_tries: groups that it was given to.
    frame: with which its worker said that it is done. trace: None where it is not recorded.
    """

    request: Request
    tensors: tuple[Tensor, ...]
    protocol: str
    call_id: str
    tell: Callable[[Answer], None]
    predicted_finish_s: float = NEVER_S
    num_tries: int = 0
    frame: Frame | None = None
    trace: CallTrace | None = None

    @property
    def done(self) -> Done | None:
        header = self.frame.header if self.frame is not None else None
        return header if isinstance(header, Done) else None


Answered = Callable[[Pending, Answer, str, float], None]


@final
class PendingCalls:
    """By the request's id. Each is answered once, and counted with its answer."""

    def __init__(self, metrics: FleetMetrics, answered: Answered | None = None) -> None:
        """answered: hears of every call with its answer, whose it is, and when."""
        self._metrics = metrics
        self._answered = answered
        self._calls: dict[int, Pending] = {}
        self._emptied = Pulse()

    def __len__(self) -> int:
        return len(self._calls)

    def ids(self) -> tuple[int, ...]:
        return tuple(self._calls)

    def add(self, pending: Pending) -> None:
        self._calls[pending.request.id] = pending

    def find(self, request_id: int) -> Pending | None:
        """None: it is answered."""
        return self._calls.get(request_id)

    def end(self, request_id: int, answer: Answer, *, group: str, now_s: float) -> None:
        """group: whose the answer is, "" for nobody's."""
        pending = self._calls.pop(request_id)
        self._metrics.answered(
            pending.request,
            answer,
            done=pending.done,
            group=group,
            predicted_finish_s=pending.predicted_finish_s,
            now_s=now_s,
            protocol=pending.protocol,
        )
        if self._answered is not None:
            self._answered(pending, answer, group, now_s)
        pending.tell(answer)
        if not self._calls:
            self._emptied.beat()

    async def until_none(self) -> None:
        """Return when every call has been answered."""
        while self._calls:
            await self._emptied.wait()
