"""What endpoints need of whoever serves: calls in, replies or refusals out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from controller.calls import InferCall, InferReply, ModelStatistics, ModelView, Refusal
from controller.token_streams import GenerateCall, TokenStream


class Pulse:
    """Counts changes and wakes who waits for the next one. One event loop only.

    Read `count`, look at the state, then `wait_beyond(count)`: no change is missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Something changed."""
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Return at the next change; nothing else may be awaited between the look at the state and this."""
        await self.wait_beyond(self.count)

    async def wait_beyond(self, count: int) -> None:
        """Return once `self.count` is no longer `count`."""
        if self.count != count:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Fleet(Protocol):
    """All methods are called on the endpoint's event loop."""

    @property
    def changed(self) -> Pulse:
        """Beats whenever readiness or a model's state changes; health watchers hang on it."""

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        """Exactly one result. Cancelling the future cancels the request: the client left or its time is up.

        An exception in the future is a bug; the client sees INTERNAL without its text.
        """

    def generate(self, call: GenerateCall) -> TokenStream:
        """The answer token by token, of a model whose view has `generation`."""

    def turned_away(
        self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
    ) -> None:
        """A call was refused before it came to `infer` or `generate`. For counting, and for the journal.

        model: its canonical name, "" where it is not known. call_id: by which its client knows it.
        """

    async def awaited(self, model: str) -> None:
        """Return when what a model takes is known: one on demand is loaded for that. Or when it will not be,
        or not in time; calls for it then come unchecked, and are refused. By its canonical name."""

    def models(self) -> Mapping[str, ModelView]:
        """Every name and alias that clients may use. Called for each request: hand out the same mapping,
        and the same ModelView object for as long as the view does not change."""

    def is_ready(self) -> bool:
        """All required models are placed and warm, and the fleet is not draining."""

    async def load(self, model: str) -> Refusal | None:
        """Return when the model is READY, or with why it will not be. Idempotent."""

    async def unload(self, model: str) -> Refusal | None:
        """Return when the model is UNAVAILABLE, or with why it will not be. Idempotent."""

    def statistics(self, model: str) -> ModelStatistics: ...
