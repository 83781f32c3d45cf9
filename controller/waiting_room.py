"""Calls of models that are loaded when they are asked for, while they load."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol, final

import msgspec

from controller.pending import Pending
from vocabulary.request import Request

# Calls a function after so many seconds; `loop.call_later` in production.
Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class Demand(Protocol):
    """Who loads models on demand."""

    def asked(self, model: str) -> float | None:
        """A call came for a model without an open replica: how long it may wait, None for not at all."""


@final
class WaitingRoom:
    """By model, in the order in which they came. Nobody waits longer than told.

    expired: hears of each that waited in vain.
    """

    def __init__(
        self, *, clock: Callable[[], float], later: Later, expired: Callable[[Pending], None]
    ) -> None:
        self._clock = clock
        self._later = later
        self._expired = expired
        self._waiting: dict[str, dict[int, tuple[Pending, asyncio.TimerHandle]]] = defaultdict(dict)

    def hold(self, pending: Pending, wait_s: float) -> None:
        """Until `release` of its model, or until the time is up."""
        request = pending.request
        timer = self._later(wait_s, lambda: self._expire(request))
        self._waiting[request.model][request.id] = (pending, timer)

    def release(self, model: str) -> list[Pending]:
        """Those that waited for the model. Their objectives count from now: it was not they that loaded."""
        found = []
        for pending, timer in self._waiting.pop(model, {}).values():
            timer.cancel()
            waited_s = self._clock() - pending.request.arrival_s
            pending.request = _later_by(pending.request, waited_s)
            found.append(pending)
        return found

    def give_up(self, model: str) -> None:
        """It does not come: nobody waits for it any more."""
        for pending, timer in self._waiting.pop(model, {}).values():
            timer.cancel()
            self._expired(pending)

    def forget(self, request: Request) -> bool:
        """Its client went away. False: it did not wait here."""
        entry = self._waiting.get(request.model, {}).pop(request.id, None)
        if entry is not None:
            entry[1].cancel()
        return entry is not None

    def _expire(self, request: Request) -> None:
        pending, _ = self._waiting[request.model].pop(request.id)
        self._expired(pending)


def _later_by(request: Request, seconds: float) -> Request:
    return msgspec.structs.replace(request, slo_s=request.slo_s + seconds, ttft_s=request.ttft_s + seconds)
