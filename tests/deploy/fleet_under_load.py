"""Two front ends that serve on a thread, in real time, and never stop being asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from itertools import count, takewhile
from typing import Any, final

from controller.calls import Reason, Refusal
from controller.journal import NoJournal
from controller.journal.metrics import JournalMetrics
from controller.plan_facts import PlanFacts
from controller.security.metrics_endpoint import open_metrics
from controller.tracing.metrics import TracingMetrics
from tests.controller.two_fronts import NUM_FRONTS, TwoFronts
from workers.multicast import STORE, Load

_BEAT_S = 0.05
_STRANGER = Refusal(Reason.UNAUTHENTICATED, "no token")


@final
class FleetUnderLoad:
    """`start`, `stop` when enough was asked, then `close`. ports: where each front end gives its metrics."""

    def __init__(self, *, compat: tuple[str, ...] = ()) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True)
        self._thread.start()
        self._asking: list[asyncio.Task[None]] = []
        self._is_asking = False
        self.fleet = self._on_loop(self._made(compat))
        self._metrics = [
            open_metrics(metrics.registry, host="127.0.0.1", port=0) for metrics in self.fleet.metrics
        ]
        self.ports = [one.port for one in self._metrics]

    def start(self) -> None:
        """Of both models, at both front ends; of encode at times more than can be answered in time."""
        self._on_loop(self._start())

    def stop(self) -> None:
        """All calls are answered."""
        self._on_loop(self._stop())

    def lose_and_reopen(self) -> None:
        """g1 is lost with calls that it has not begun with, and comes back."""
        self._on_loop(self._lose())

    def close(self) -> None:
        self.stop()
        for one in self._metrics:
            one.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _on_loop(self, coroutine: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _made(self, compat: tuple[str, ...]) -> TwoFronts:
        fleet = TwoFronts(self._loop, lambda rank: self._loop.call_soon, compat=compat)
        own = fleet.metrics[0]
        own.registry.register(JournalMetrics(NoJournal()))
        own.registry.register(TracingMetrics(None))
        own.plan(PlanFacts("0123456789ab", "search", {"encode": 0.95, "chat": 0.99}))
        loads = [
            Load("encode", STORE, 1000, 2.0, compile_s=1.0),
            Load("chat", "g1", 1000, 1.0, compile_s=2.0),
        ]
        own.weights_loaded("g0", loads)
        return fleet

    async def _start(self) -> None:
        self._is_asking = True
        asked = [self._ask_in_bursts, self._ask_to_chat]
        self._asking = [self._loop.create_task(ask(front)) for ask in asked for front in range(NUM_FRONTS)]
        self._asking.append(self._loop.create_task(self._beat()))

    async def _stop(self) -> None:
        self._is_asking = False
        await asyncio.gather(*self._asking)
        self._asking.clear()
        self.fleet.beat()

    def _goes_on(self, number: int) -> bool:
        return self._is_asking

    async def _lose(self) -> None:
        calls = [self._loop.create_task(self.fleet.encode()) for _ in range(6)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.fleet.lose(1)
        await asyncio.gather(*calls)
        self.fleet.open(1)

    async def _ask_in_bursts(self, front: int) -> None:
        for number in takewhile(self._goes_on, count()):
            await asyncio.gather(*(self.fleet.encode(front) for _ in range(12 if number % 4 == 0 else 2)))

    async def _ask_to_chat(self, front: int) -> None:
        """Prompts that begin alike, and more at once than there are pages for."""
        beginning = tuple(range(8))
        for number in takewhile(self._goes_on, count()):
            prompts = [(*beginning, front, number % 100, one) for one in range(4)]
            await asyncio.gather(*(self.fleet.chat(front, prompt=one, num_tokens=12) for one in prompts))

    async def _beat(self) -> None:
        while self._is_asking:
            self.fleet.beat()
            self.fleet.metrics[0].turned_away("", _STRANGER)
            await asyncio.sleep(_BEAT_S)
