"""Changes that people ask for by name, made of wants: a model more or less, a group or host drained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import final

from controller.change.residency import with_model, without_model
from controller.journal import AbstractJournal
from controller.life.device_watch import Replan
from controller.life.past import Drains, Past
from controller.life.supervisor import Supervisor
from controller.server import FleetServer
from vocabulary.errors import Infeasible, InvalidInput, RuntimeFailure, StatmuxError
from vocabulary.placement import Group, Placement

# Devices of each group or host that is drained.
_Drained = Mapping[str, frozenset[str]]
# Of a plan that is overtaken by what somebody else wants.
_MAX_TRIES = 5


@final
class FleetChanges:
    """Idempotent; each returns when it is done. Of two at once the later is carried out on top."""

    def __init__(
        self,
        supervisor: Supervisor,
        server: FleetServer,
        *,
        replan: Replan,
        devices: Callable[[], frozenset[str]],
        journal: AbstractJournal,
        past: Past,
    ) -> None:
        """devices: ids of those that are there."""
        self._supervisor = supervisor
        self._server = server
        self._replan = replan
        self._devices = devices
        self._journal = journal
        self._past = past
        # What was wanted before each of these was unloaded.
        self._homes: dict[str, Placement] = {}
        self._drains = Drains()

    @property
    def drained_devices(self) -> frozenset[str]:
        """Ids of those that no plan is to use."""
        return frozenset[str]().union(*self._drains.devices.values())

    @property
    def drained(self) -> tuple[str, ...]:
        """Groups and hosts that were taken out of service."""
        return tuple(self._drains.devices)

    async def resumed(self, placement: Placement) -> Placement:
        """What an earlier controller was told to keep out of service stays out; the plan without it.

        Before anything is wanted. A plan that uses what is drained is planned without, as by a drain.
        """
        deployment = self._supervisor.deployment
        self._drains = self._past.drains(deployment)
        for model in self._past.unloaded:
            if model in deployment.model_names:
                self._server.service.close(model)
                placement = without_model(placement, model)
        drained = self.drained_devices
        if all(drained.isdisjoint(group.devices) for group in placement.groups):
            return placement
        try:
            left = await self._without(self._drains.devices, placement)
        except StatmuxError as error:
            left = Placement(tuple(group for group in placement.groups if drained.isdisjoint(group.devices)))
            self._journal.event("no_plan", why=f"what is drained stays so: {error}")
        self._drains = replace(self._drains, whole=placement, left=left)
        self._past.remember_drains(self._drains)
        return left

    async def load(self, model: str) -> tuple[str, ...]:
        """Ids of the groups that hold it, once it is READY. Raises StatmuxError where it will not be."""
        supervisor = self._supervisor
        wanted = with_model(
            supervisor.desired,
            model,
            deployment=supervisor.deployment,
            before=self._homes.get(model, supervisor.desired),
            devices=self._devices(),
        )
        if wanted != supervisor.desired:
            self._journal.event("models", model=model, verb="load")
            supervisor.want(wanted, why=f"load {model}")
        # Somebody else may have asked for it before, and wait for it, too.
        await self._until(lambda: self._is_open(model))
        refusal = await self._server.service.take_in(model)
        self._past.remember_unloaded(self._server.service.closed)
        if refusal is not None:
            raise RuntimeFailure(f"model {model} did not load: {refusal.message}")
        return tuple(group.id for group in supervisor.desired.groups if model in group.models)

    async def unload(self, model: str) -> None:
        """Its memory is free afterwards."""
        supervisor = self._supervisor
        if model not in supervisor.deployment.model_names:
            known = ", ".join(supervisor.deployment.model_names)
            raise InvalidInput(f"the deployment has no model {model!r}", hint=f"it has {known}")
        self._server.service.close(model)
        self._past.remember_unloaded(self._server.service.closed)
        if supervisor.desired.holders(model):
            self._homes[model] = supervisor.desired
            self._journal.event("models", model=model, verb="unload")
            supervisor.want(
                without_model(supervisor.desired, model), may_interrupt=True, why=f"unload {model}"
            )
        await self._until(lambda: model not in self._resident())

    async def drain(self, target: str, *, may_interrupt: bool = False) -> tuple[str, ...]:
        """Nothing runs on the group or host any more; models that have no place now.

        Raises InvalidInput for what is neither, Infeasible where models would have no replica, unless
        `may_interrupt`.
        """
        if target in self._drains.devices:
            await self._until(lambda: self._is_empty(self._drains.devices.get(target, frozenset())))
            return ()
        devices = self._devices_of(target)
        left = await self._planned(lambda now: {**now, target: devices})
        lost = tuple(sorted(left.whole.models - left.left.models))
        if lost and not may_interrupt:
            raise Infeasible(
                f"without {target} there is no room for {', '.join(lost)}",
                hint="drain it nevertheless with --force, or give the fleet more devices first",
            )
        self._journal.event("drain", group=target, unplaced=list(lost))
        self._want(left, may_interrupt=may_interrupt, why=f"drain {target}")
        await self._until(lambda: self._is_empty(devices))
        return lost

    async def undrain(self, target: str) -> None:
        """What ran before it was drained, again; unless something else was wanted since."""
        if target not in self._drains.devices:
            raise InvalidInput(f"{target} is not drained")
        left = await self._planned(
            lambda now: {name: devices for name, devices in now.items() if name != target}
        )
        self._journal.event("undrain", group=target)
        self._want(left, may_interrupt=False, why=f"undrain {target}")
        await self._supervisor.converged()

    async def _planned(self, change: Callable[[_Drained], _Drained]) -> Drains:
        """After this change of what is drained.

        Planned again where something else was wanted meanwhile. Raises RuntimeFailure if it always is.
        """
        for _ in range(_MAX_TRIES):
            now, desired = self._drains, self._supervisor.desired
            drained, before = change(now.devices), self._before()
            left = await self._without(drained, before)
            if self._drains is now and self._supervisor.desired is desired:
                return Drains(drained, before, left)
        raise RuntimeFailure(
            "the fleet was changed again and again meanwhile", hint="try again when it has come to rest"
        )

    def _want(self, drains: Drains, *, may_interrupt: bool, why: str) -> None:
        self._supervisor.want(drains.left, may_interrupt=may_interrupt, why=why)
        # Groups may have other ids there than they were planned with.
        self._drains = replace(drains, left=self._supervisor.desired)
        self._past.remember_drains(self._drains)

    def _before(self) -> Placement:
        """What would run if nothing was drained."""
        drains, desired = self._drains, self._supervisor.desired
        return drains.whole if drains.devices and desired == drains.left else desired

    async def _without(self, drained: _Drained, before: Placement) -> Placement:
        devices = self._devices().difference(*drained.values())
        left = Placement(tuple(group for group in before.groups if devices.issuperset(group.devices)))
        return left if left.models == before.models else await self._replan(devices, before)

    def _is_empty(self, devices: frozenset[str]) -> bool:
        return all(devices.isdisjoint(member.group.devices) for member in self._supervisor.members)

    def _is_open(self, model: str) -> bool:
        return any(model in member.models_open for member in self._supervisor.members)

    def _resident(self) -> set[str]:
        members = self._supervisor.members.running()
        return {model for member in members for model in member.group.models}

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Or until nothing more will change: other steps may take longer, or fail again and again."""
        while not holds() and not self._supervisor.is_converged:
            await self._supervisor.changed.wait()

    def _devices_of(self, target: str) -> frozenset[str]:
        """Of a group that is wanted, or of a host."""
        groups: dict[str, Group] = {group.id: group for group in self._supervisor.desired.groups}
        if target in groups:
            return frozenset(groups[target].devices)
        cluster = self._supervisor.deployment.cluster
        found = frozenset(device.id for device in cluster.devices if device.host == target)
        if not found:
            hosts = sorted({device.host for device in cluster.devices})
            raise InvalidInput(
                f"{target!r} is neither a group nor a host of the fleet",
                hint=f"groups are {', '.join(groups)}; hosts are {', '.join(hosts)}",
            )
        return found
