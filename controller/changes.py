"""Changes that people ask for by name, made of wants: a model more or less, a group or host drained."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from controller.device_watch import Replan
from controller.journal import AbstractJournal
from controller.residency import with_model, without_model
from controller.server import FleetServer
from controller.supervisor import Supervisor
from vocabulary.errors import Infeasible, InvalidInput, RuntimeFailure
from vocabulary.placement import Group, Placement


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
    ) -> None:
        """devices: ids of those that are there."""
        self._supervisor = supervisor
        self._server = server
        self._replan = replan
        self._devices = devices
        self._journal = journal
        self._planned = supervisor.desired
        self._drained: dict[str, Placement] = {}

    @property
    def drained(self) -> tuple[str, ...]:
        """Groups and hosts that were taken out of service."""
        return tuple(self._drained)

    async def load(self, model: str) -> tuple[str, ...]:
        """Ids of the groups that hold it, once it is READY. Raises StatmuxError where it will not be."""
        supervisor = self._supervisor
        wanted = with_model(
            supervisor.desired,
            model,
            deployment=supervisor.deployment,
            before=self._planned,
            devices=self._devices(),
        )
        if wanted != supervisor.desired:
            self._journal.event("models", model=model, verb="load")
            supervisor.want(wanted, why=f"load {model}")
            await supervisor.converged()
        refusal = await self._server.load(model)
        if refusal is not None:
            raise RuntimeFailure(f"model {model} did not load: {refusal.message}")
        return tuple(group.id for group in supervisor.desired.groups if model in group.models)

    async def unload(self, model: str) -> None:
        """Its memory is free afterwards."""
        supervisor = self._supervisor
        if model not in supervisor.deployment.model_names:
            known = ", ".join(supervisor.deployment.model_names)
            raise InvalidInput(f"the deployment has no model {model!r}", hint=f"it has {known}")
        await self._server.unload(model)
        if not supervisor.desired.holders(model):
            return
        self._planned = supervisor.desired
        self._journal.event("models", model=model, verb="unload")
        supervisor.want(without_model(supervisor.desired, model), may_interrupt=True, why=f"unload {model}")
        await supervisor.converged()

    async def drain(self, target: str, *, may_interrupt: bool = False) -> tuple[str, ...]:
        """Nothing runs on the group or host any more; models that have no place now.

        Raises InvalidInput for what is neither, Infeasible where models would have no replica, unless
        `may_interrupt`.
        """
        supervisor, before = self._supervisor, self._supervisor.desired
        drained = self._devices_of(target)
        left = _on(before, self._devices() - drained)
        if left == before:
            return ()
        if left.models != before.models:
            left = await self._replan(self._devices() - drained, before)
        lost = tuple(sorted(before.models - left.models))
        if lost and not may_interrupt:
            raise Infeasible(
                f"without {target} there is no room for {', '.join(lost)}",
                hint="drain it nevertheless with --force, or give the fleet more devices first",
            )
        self._drained[target] = before
        self._journal.event("drain", group=target, unplaced=list(lost))
        supervisor.want(left, may_interrupt=may_interrupt, why=f"drain {target}")
        await supervisor.converged()
        return lost

    async def undrain(self, target: str) -> None:
        """What ran before it was drained, again."""
        before = self._drained.pop(target, None)
        if before is None:
            raise InvalidInput(f"{target} is not drained")
        self._journal.event("undrain", group=target)
        self._supervisor.want(before, why=f"undrain {target}")
        await self._supervisor.converged()

    def _devices_of(self, target: str) -> frozenset[str]:
        """Of a group that is wanted, or of a host."""
        groups: dict[str, Group] = {group.id: group for group in self._supervisor.desired.groups}
        if target in groups:
            return frozenset(groups[target].devices)
        cluster = self._supervisor.deployment.cluster
        found = frozenset(device.id for device in cluster.devices if device.host == target)
        if not found and target not in self._drained:
            hosts = sorted({device.host for device in cluster.devices})
            raise InvalidInput(
                f"{target!r} is neither a group nor a host of the fleet",
                hint=f"groups are {', '.join(groups)}; hosts are {', '.join(hosts)}",
            )
        return found


def _on(placement: Placement, devices: frozenset[str]) -> Placement:
    return Placement(tuple(group for group in placement.groups if set(group.devices) <= devices))
