"""What a running fleet changes of itself, and what it knows for that: one thing to start and to close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

import structlog

from controller.change.applying import Running
from controller.change.observed_traffic import ObservedTraffic
from controller.change.on_demand import OnDemandModels
from controller.change.replanner import Fleetwide, Planning, Replanner
from controller.journal import AbstractJournal
from controller.on_ray.nouns import StartedGroup
from vocabulary.serve_flags import ServeFlags
from workers.multicast import STORE

# Of a store that has not been measured, and smaller reads than this measure something else.
DEFAULT_BYTES_PER_S, LEAST_BYTES = 1e9, 1_000_000
_log = structlog.get_logger("statmux.controller")
_NO_FLAGS, _PLANNING = ServeFlags(), Planning()


@final
class Elastic:
    """`observed` is told of every answer (`PendingCalls`), the server's demand is this (`asked`)."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        journal: AbstractJournal,
        flags: ServeFlags = _NO_FLAGS,
        planning: Planning = _PLANNING,
    ) -> None:
        self.observed = ObservedTraffic()
        self._clock = clock
        self._journal = journal
        self._flags = flags
        self._planning = planning
        self._read = (0, 0.0)
        self._restart_s = 0.0
        self._fleet: Fleetwide | None = None
        self._devices: Callable[[], frozenset[str] | None] = lambda: None
        self._unloaded: Callable[[], frozenset[str]] = frozenset
        self._replanner: Replanner | None = None
        self._on_demand: OnDemandModels | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def attach(
        self,
        fleet: Fleetwide,
        *,
        devices: Callable[[], frozenset[str] | None],
        in_flight: Callable[[str], int],
        unloaded: Callable[[], frozenset[str]],
    ) -> None:
        """Before anything else. devices: ids of those that are there; in_flight: requests of a model;
        unloaded: models that somebody took out."""
        self._fleet = fleet
        self._devices = devices
        self._unloaded = unloaded
        self._on_demand = OnDemandModels(
            fleet,
            self.observed,
            devices=devices,
            in_flight=in_flight,
            unloaded=unloaded,
            clock=self._clock,
            journal=self._journal,
        )

    def start(self, *, attainment: float | None = None, start_s: float = 0.0) -> None:
        """Once the fleet is served. attainment: as the first plan promised; start_s: what the start took."""
        assert self._fleet is not None and self._on_demand is not None, "attach first"
        _, seconds = self._read
        self._restart_s = max(0.0, start_s - seconds)
        self._replanner = Replanner(
            self._fleet,
            self.observed,
            running=self.running,
            clock=self._clock,
            journal=self._journal,
            planning=self._planning,
            attainment=attainment,
        )
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(one.run()) for one in (self._on_demand, self._replanner)]
        for task in self._tasks:
            task.add_done_callback(self._tell_end)

    async def close(self) -> None:
        """Nothing is planned or loaded any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _tell_end(self, task: asyncio.Task[None]) -> None:
        """They run until they are cancelled; a bug that ends one must not go unnoticed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the fleet does not change by itself any more", exc_info=error)
            self._journal.event("replan", moved=False, why=repr(error), reasons=["failed for good"])

    def asked(self, model: str) -> float | None:
        """`waiting_room.Demand`."""
        return None if self._on_demand is None else self._on_demand.asked(model)

    def loaded(self, started: StartedGroup) -> None:
        """How weights came to a group: the store is as fast as it was so far."""
        num_bytes, seconds = self._read
        for load in started.loads:
            if load.origin == STORE and load.num_bytes >= LEAST_BYTES:
                num_bytes, seconds = num_bytes + load.num_bytes, seconds + load.seconds
        self._read = (num_bytes, seconds)

    def running(self) -> Running:
        """What is served now, for `apply` and for plans."""
        assert self._fleet is not None, "attach first"
        deployment = self._fleet.deployment
        num_bytes, seconds = self._read
        return Running(
            deployment,
            self._fleet.desired,
            flags=self._flags,
            devices=self._devices(),
            observed=self.observed.trace(self._clock(), deployment.replanning.window_s),
            store_bytes_per_s=num_bytes / seconds if seconds > 0 else DEFAULT_BYTES_PER_S,
            restart_s=self._restart_s,
            unloaded=self._unloaded(),
        )
