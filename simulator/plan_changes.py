"""Changes of plan carried out in virtual time: the steps of reconcile, with what they take, as faults.

The machine that a live fleet's supervisor asks says what is closed, loaded and opened, and in which order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never, final

from scheduling.changes.residency import DeploymentMemory
from scheduling.reconcile import Reconciler
from simulator.agenda import Agenda
from simulator.faults import Fault, GroupJoins, GroupLeaves, ReplicaCloses, ReplicaOpens
from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    GiveUp,
    GroupEnded,
    GroupStarted,
    LoadModels,
    ModelsLoaded,
    ModelsUnloaded,
    OpenReplica,
    ReplicaIdle,
    RestartPolicy,
    StartGroups,
    Step,
    StepEvent,
    StopGroup,
    UnloadModels,
)
from vocabulary.units import NEVER_S


@dataclass(frozen=True, slots=True)
class Costs:
    """store_bytes_per_s: of one host, whose groups read one after another. start_s: a new group besides its
    weights; drain_s: from closing a replica until its requests are done."""

    store_bytes_per_s: float = 1e9
    start_s: float = 5.0
    drain_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A plan, and when it was wanted."""

    at_s: float
    placement: Placement


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """faults: for `simulate_with_faults`. num_loads: replicas that were loaded, num_bytes: that they read.

    busy_s: during which something was under way; given_up: sentences.
    """

    faults: tuple[Fault, ...]
    num_loads: int
    num_bytes: int
    busy_s: float
    given_up: tuple[str, ...]


def carried_out(
    first: Placement,
    plans: Sequence[Wanted],
    *,
    deployment: Deployment,
    costs: Costs,
    may_interrupt: bool = False,
) -> CarriedOut:
    """From a fleet that runs `first` at time 0. A plan that is wanted during another replaces it."""
    return _Execution(first, deployment, costs).run(plans, may_interrupt=may_interrupt)


@final
class _Execution:
    def __init__(self, first: Placement, deployment: Deployment, costs: Costs) -> None:
        self._deployment, self._costs = deployment, costs
        self._machine = Reconciler(
            RestartPolicy(), memory=DeploymentMemory(lambda: deployment), drain_timeout_s=costs.drain_s
        )
        self._hosts = {device.id: device.host for device in deployment.cluster.devices}
        self._free_s: dict[str, float] = {}
        self._agenda: Agenda[StepEvent] = Agenda()
        self._faults: list[Fault] = []
        self._index = {group.id: index for index, group in enumerate(first.groups)}
        self._groups: dict[str, Group] = {group.id: group for group in first.groups}
        self._num_groups = len(first.groups)
        self._joined: set[str] = set(self._index)
        self._num_loads, self._num_bytes, self._busy_s = 0, 0, 0.0
        self._given_up: list[str] = []
        for group in first.groups:
            self._machine.observe(GroupStarted(group))
        self._machine.observe(Desired(first))
        self._machine.decide(0.0)

    def run(self, plans: Sequence[Wanted], *, may_interrupt: bool) -> CarriedOut:
        for wanted in sorted(plans, key=lambda one: one.at_s):
            self._agenda.add(wanted.at_s, Desired(wanted.placement, may_interrupt))
        since_s = 0.0
        is_busy = False
        while (now_s := min(self._agenda.next_s, self._machine.wake_s)) < NEVER_S:
            if is_busy:
                self._busy_s += now_s - since_s
            since_s = now_s
            for event in self._agenda.pop_instant(now_s) if self._agenda.next_s <= now_s else ():
                self._machine.observe(event)
            steps = self._machine.decide(now_s)
            self._perform_all(steps, now_s)
            is_busy = not any(isinstance(step, Converged) for step in steps) and (is_busy or bool(steps))
        faults = tuple(sorted(self._faults, key=lambda fault: fault.at_s))
        return CarriedOut(faults, self._num_loads, self._num_bytes, self._busy_s, tuple(self._given_up))

    def _perform_all(self, steps: Sequence[Step], now_s: float) -> None:
        joining: set[str] = set()
        for step in steps:
            if isinstance(step, OpenReplica) and step.group_id not in self._joined:
                joining.add(step.group_id)
        for group_id in sorted(joining, key=lambda one: self._index[one]):
            self._join(group_id, now_s)
        for step in steps:
            if not (isinstance(step, OpenReplica) and step.group_id in joining):
                self._perform(step, now_s)

    def _join(self, group_id: str, now_s: float) -> None:
        """It opens with all of its models: what is not to be open is closed by a step of its own."""
        self._joined.add(group_id)
        self._index[group_id] = self._num_groups
        self._num_groups += 1
        self._faults.append(GroupJoins(now_s, self._groups[group_id]))

    def _perform(self, step: Step, now_s: float) -> None:
        match step:
            case OpenReplica(group_id, model):
                self._faults.append(ReplicaOpens(now_s, self._index[group_id], model))
            case CloseReplica(group_id, model):
                self._faults.append(ReplicaCloses(now_s, self._index[group_id], model))
                self._agenda.add(now_s + self._costs.drain_s, ReplicaIdle(group_id, model))
            case LoadModels(group_id, models):
                self._agenda.add(
                    self._read(self._groups[group_id], models, now_s), ModelsLoaded(group_id, models)
                )
            case UnloadModels(group_id, models):
                self._agenda.add(now_s, ModelsUnloaded(group_id, models))
            case StartGroups(groups):
                for group in groups:
                    self._groups[group.id] = group
                    self._index.setdefault(group.id, self._num_groups)
                    ready_s = self._read(group, group.models, now_s) + self._costs.start_s
                    self._agenda.add(ready_s, GroupStarted(group))
            case StopGroup(group_id):
                if group_id in self._joined:
                    self._joined.discard(group_id)
                    self._faults.append(GroupLeaves(now_s, self._index[group_id]))
                self._agenda.add(now_s, GroupEnded(group_id))
            case GiveUp(group_id, why, models):
                self._given_up.append(f"{now_s:.1f} s: {group_id} {why} {', '.join(models)}".strip())
            case Converged():
                return
            case _:
                assert_never(step)

    def _read(self, group: Group, models: Sequence[str], now_s: float) -> float:
        """When the hosts of the group have read the weights, each after what it reads already."""
        bytes_in = self._bytes_by_host(group, models)
        self._num_loads += len(models)
        self._num_bytes += sum(bytes_in.values())
        ends: list[float] = []
        for host, num_bytes in bytes_in.items():
            start_s = max(now_s, self._free_s.get(host, 0.0))
            self._free_s[host] = start_s + num_bytes / self._costs.store_bytes_per_s
            ends.append(self._free_s[host])
        return max(ends, default=now_s)

    def _bytes_by_host(self, group: Group, models: Sequence[str]) -> Mapping[str, int]:
        catalog = self._deployment.catalog()
        found: dict[str, int] = {}
        for model in models:
            entry = catalog.entry(model, group.config)
            for stage, num_bytes in enumerate(entry.weight_bytes):
                for device in group.stage_devices(stage):
                    host = self._hosts[device]
                    found[host] = found.get(host, 0) + num_bytes
        return found
