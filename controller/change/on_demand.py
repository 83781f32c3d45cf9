"""Models that are loaded when somebody asks for them, and go when nobody does (`models[].on_demand`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

import structlog

from controller.change.observed_traffic import ObservedTraffic
from controller.change.replanner import Fleetwide
from controller.journal import AbstractJournal
from placement.constraints import without_devices
from placement.on_demand import Residents, loading, next_unload_s, unloading, without_models
from vocabulary.deployment import Deployment

_log = structlog.get_logger("statmux.controller")
# Idle models go a little late rather than being looked for all the time.
_LOOK_S = 1.0


@final
class OnDemandModels:
    """`waiting_room.Demand` of a fleet. One loop only."""

    def __init__(
        self,
        fleet: Fleetwide,
        observed: ObservedTraffic,
        *,
        devices: Callable[[], frozenset[str] | None],
        in_flight: Callable[[str], int],
        unloaded: Callable[[], frozenset[str]],
        clock: Callable[[], float],
        journal: AbstractJournal,
    ) -> None:
        """devices: ids of those that are there, None where that is not known. in_flight: of a model.
        unloaded: models that are not loaded before somebody says so."""
        self._fleet = fleet
        self._observed = observed
        self._devices = devices
        self._in_flight = in_flight
        self._unloaded = unloaded
        self._clock = clock
        self._journal = journal
        self._asked_s: dict[str, float] = {}
        self._refused_s: dict[str, float] = {}

    def asked(self, model: str) -> float | None:
        """Load the model, unless that is under way. How long its requests wait; None: it cannot be loaded."""
        spec = next((one for one in self._fleet.deployment.models if one.name == model), None)
        if spec is None or not spec.on_demand.is_enabled or model in self._unloaded():
            return None
        # It is tried again when somebody asks after it has gone, for nobody having asked so long.
        if self._fleet.has_given_up(model):
            return None
        now_s = self._clock()
        self._asked_s[model] = now_s
        if model in self._fleet.desired.models:
            return spec.on_demand.max_load_s
        found = loading(model, self._residents(), deployment=self._there())
        if found is None:
            self._refuse(model, now_s)
            return None
        evicted = [name for name, _ in found.evicted]
        self._journal.event("on_demand", model=model, group=found.group_id, verb="load", evicted=evicted)
        room = f", instead of {', '.join(evicted)}" if evicted else ""
        self._fleet.want(found.placement, why=f"{model} is asked for{room}")
        return spec.on_demand.max_load_s

    async def run(self) -> None:
        """Unload what is idle, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.sweep()

    def sweep(self) -> None:
        """Once; not while steps of another change are carried out."""
        now_s, deployment = self._clock(), self._fleet.deployment
        if not self._fleet.is_converged:
            return
        self._note_resident(now_s)
        residents = self._residents()
        if next_unload_s(residents, deployment=deployment) > now_s:
            return
        idle = unloading(residents, deployment=deployment, now_s=now_s)
        if not idle:
            return
        for model in idle:
            self._journal.event("on_demand", model=model, verb="unload")
            self._asked_s.pop(model, None)
        why = f"nobody asked for {', '.join(idle)}"
        self._fleet.want(without_models(self._fleet.desired, idle), why=why)

    def _note_resident(self, now_s: float) -> None:
        """What a plan has loaded without anybody asking counts as asked for when it was first seen."""
        for model in self._on_demand(self._fleet.deployment):
            if model in self._fleet.desired.models:
                self._asked_s.setdefault(model, now_s)

    def _residents(self) -> Residents:
        models = self._on_demand(self._fleet.deployment)
        used_s = {
            model: max(self._asked_s.get(model, 0.0), self._observed.last_s(model) or 0.0)
            for model in models
            if model in self._asked_s
        }
        busy = frozenset(model for model in models if self._in_flight(model))
        return Residents(self._fleet.desired, used_s, busy)

    @staticmethod
    def _on_demand(deployment: Deployment) -> tuple[str, ...]:
        return tuple(model.name for model in deployment.models if model.on_demand.is_enabled)

    def _there(self) -> Deployment:
        """The deployment with devices that are gone left out."""
        deployment, devices = self._fleet.deployment, self._devices()
        if devices is None:
            return deployment
        absent = {device.id for device in deployment.cluster.devices} - devices
        return without_devices(deployment, absent) if absent else deployment

    def _refuse(self, model: str, now_s: float) -> None:
        """Told once in a while: every request of it asks."""
        if now_s - self._refused_s.get(model, -1e9) > 60.0:
            self._refused_s[model] = now_s
            self._journal.event("on_demand", model=model, verb="refuse", why="no group has room for it")
            _log.warning("no room for a model that is asked for", model=model)
