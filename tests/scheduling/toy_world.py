"""A world in which steps take time, fail, and groups die: it performs what a reconciler says, and checks it.

After every round of steps: no device has two groups, no memory is exceeded, only idle models are unloaded; a
desired model that had an open replica before the round has one after it, unless interruptions are allowed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import assert_never

from scheduling.changes.residency import StageBytes
from scheduling.reconcile import Reconciler
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    DevicesChanged,
    GiveUp,
    GroupEnded,
    GroupStarted,
    LoadModels,
    ModelsLoaded,
    ModelsNotLoaded,
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

DRAIN_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class ToyMemory:
    """sizes: bytes of each model, split over the stages. The pools of `filling` ones take what is left."""

    sizes: Mapping[str, int]
    device_bytes: int
    filling: frozenset[str] = frozenset()

    def taken(self, group: Group) -> Mapping[str, StageBytes] | None:
        num_stages = group.config.pipeline
        taken = {model: -(-self.sizes[model] // num_stages) for model in group.models}
        pools = [model for model in group.models if model in self.filling]
        left = self.device_bytes - sum(taken.values())
        if left < len(pools):
            return None
        for model in pools:
            taken[model] += left // len(pools)
        return {model: (num_bytes,) * num_stages for model, num_bytes in taken.items()}

    def usable(self, group: Group) -> StageBytes:
        return (self.device_bytes,) * group.config.pipeline

    def fits(self, group: Group) -> bool:
        taken = self.taken(group)
        return taken is not None and all(
            sum(stage) <= self.device_bytes for stage in zip(*taken.values(), strict=True)
        )


def group_of(group_id: str, devices: str, models: str) -> Group:
    """A pipeline over these devices; both with spaces between."""
    names = tuple(devices.split())
    return Group(group_id, names, ParallelConfig(1, len(names)), tuple(models.split()))


@dataclass
class Process:
    """taken: of resident models and of those that load. closed: since when; idle: of those, the ones done."""

    group: Group
    life: int
    taken: dict[str, StageBytes]
    is_running: bool = False
    is_stopping: bool = False
    resident: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    closed_s: dict[str, float] = field(default_factory=dict)
    idle: set[str] = field(default_factory=set)
    loading: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moods:
    """Seconds that steps take at most, and how often they fail, or what is told never is."""

    most_s: float = 2.0
    start_fails: float = 0.0
    load_fails: float = 0.0
    never_idle: float = 0.0


class ToyWorld:
    """`happen` at a time, then `run`; `told` is every step with its time, `log` what happened besides."""

    def __init__(
        self,
        memory: ToyMemory,
        *,
        seed: int = 0,
        moods: Moods = Moods(),
        restarts: RestartPolicy = RestartPolicy(backoff_s=0.5),  # noqa: B008
    ) -> None:
        self.memory, self.moods = memory, moods
        self.random = random.Random(seed)
        self.machine = Reconciler(restarts, memory=memory, drain_timeout_s=DRAIN_TIMEOUT_S)
        self.processes: dict[str, Process] = {}
        self.desired = Desired(Placement(()))
        self.devices: frozenset[str] | None = None
        self.told: list[tuple[float, Step]] = []
        self.log: list[tuple[float, StepEvent | Step]] = []
        self.now_s = 0.0
        self._agenda: list[tuple[float, int, StepEvent, Process | None]] = []
        self._order = count()

    def happen(self, time_s: float, event: StepEvent, process: Process | None = None) -> None:
        """process: whose news it is; nobody hears of it once that has ended."""
        heapq.heappush(self._agenda, (time_s, next(self._order), event, process))

    def die(self, group_id: str, why: str = "it died") -> None:
        """Now; heard of at once."""
        process = self.processes.get(group_id)
        if process is not None:
            self.happen(self.now_s, GroupEnded(group_id, why), process)

    def run(self, until_s: float = NEVER_S) -> None:
        """Everything up to a time, or until nothing happens any more."""
        for _ in range(20_000):
            next_s = min(self._agenda[0][0] if self._agenda else NEVER_S, self.machine.wake_s)
            if next_s > until_s or next_s == NEVER_S:
                self.now_s = max(self.now_s, until_s) if until_s < NEVER_S else self.now_s
                return
            self.now_s = max(self.now_s, next_s)
            self._instant()
        raise AssertionError("it never comes to rest")

    def num_open(self, model: str) -> int:
        return sum(model in process.open for process in self.processes.values())

    def steps(self) -> list[Step]:
        return [step for _, step in self.told]

    def gave_up(self) -> list[GiveUp]:
        """Since it was last told what to run."""
        return [step for time_s, step in self.told if isinstance(step, GiveUp) and time_s >= self.wanted_s]

    wanted_s = 0.0

    def is_as_desired(self) -> bool:
        wanted = {group.id: group for group in self.desired.placement.groups}
        return set(wanted) == set(self.processes) and all(
            process.is_running
            and replace(process.group, models=()) == replace(wanted[group_id], models=())
            and process.open == process.resident == set(wanted[group_id].models)
            for group_id, process in self.processes.items()
        )

    def _instant(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.now_s:
            _, _, event, process = heapq.heappop(self._agenda)
            if process is None or self.processes.get(process.group.id) is process:
                self._occur(event, process)
                self.log.append((self.now_s, event))
                self.machine.observe(event)
        served = {model for model in self.desired.placement.models if self.num_open(model)}
        steps = self.machine.decide(self.now_s)
        assert self.machine.wake_s > self.now_s, "it asks to be woken at once"
        for step in steps:
            self.told.append((self.now_s, step))
            self.log.append((self.now_s, step))
            self._perform(step)
            self._check_memory()
        if not self.desired.may_interrupt:
            lost = [model for model in served if not self.num_open(model)]
            assert not lost, f"{lost} were served at {self.now_s} until {steps}"

    def _check_memory(self) -> None:
        devices = [device for process in self.processes.values() for device in process.group.devices]
        assert len(devices) == len(set(devices)), "two groups have a device"
        for process in self.processes.values():
            for stage in zip(*process.taken.values(), strict=True):
                assert sum(stage) <= self.memory.device_bytes, (process.group, process.taken)

    def _occur(self, event: StepEvent, process: Process | None) -> None:
        match event:
            case Desired():
                self.desired, self.wanted_s = event, self.now_s
            case DevicesChanged(devices):
                self.devices = devices
                for one in self.processes.values():
                    if not devices.issuperset(one.group.devices):
                        self.die(one.group.id, "its host is gone")
            case GroupEnded(group_id):
                del self.processes[group_id]
            case GroupStarted(group):
                if process is None:  # it was found running
                    process = self._add(group)
                process.is_running = True
                process.resident = set(group.models)
            case ModelsLoaded(_, models) if process is not None:
                process.resident |= set(models)
                process.loading = ()
            case ModelsNotLoaded(_, models) if process is not None:
                process.loading = ()
                for model in models:
                    del process.taken[model]
            case ModelsUnloaded(_, models) if process is not None:
                for model in models:
                    del process.taken[model]
            case ReplicaIdle(_, model) if process is not None:
                process.idle.add(model)

    def _perform(self, step: Step) -> None:
        match step:
            case StartGroups(groups):
                for group in groups:
                    self._start(group)
            case StopGroup(group_id):
                process = self._running(group_id)
                assert not process.open and not process.loading, step
                assert all(self._is_done(process, model) for model in process.closed_s), step
                process.is_stopping, process.is_running = True, False
                self.happen(self._later_s(), GroupEnded(group_id), process)
            case LoadModels(group_id, models):
                self._load(self._running(group_id), models)
            case UnloadModels(group_id, models):
                self._unload(self._running(group_id), models)
            case OpenReplica(group_id, model):
                process = self._running(group_id)
                assert model in process.resident and model not in process.open, step
                process.open.add(model)
                process.idle.discard(model)
                process.closed_s.pop(model, None)
            case CloseReplica(group_id, model):
                process = self._running(group_id)
                process.open.remove(model)
                process.closed_s[model] = self.now_s
                if self.random.random() >= self.moods.never_idle:
                    self.happen(self._later_s(), ReplicaIdle(group_id, model), process)
            case GiveUp() | Converged():
                pass
            case _:
                assert_never(step)

    def _add(self, group: Group) -> Process:
        assert group.id not in self.processes, f"{group.id} runs already"
        taken = self.memory.taken(group)
        assert taken is not None, group
        process = self.processes[group.id] = Process(group, next(self._order), dict(taken))
        return process

    def _start(self, group: Group) -> None:
        assert self.devices is None or self.devices.issuperset(group.devices), group
        process = self._add(group)
        if self.random.random() < self.moods.start_fails:
            self.happen(self._later_s(), GroupEnded(group.id, "it did not start"), process)
        else:
            self.happen(self._later_s(), GroupStarted(group), process)

    def _load(self, process: Process, models: tuple[str, ...]) -> None:
        assert not process.loading and models and process.resident.isdisjoint(models), models
        taken = self.memory.taken(replace(process.group, models=(*process.taken, *models)))
        assert taken is not None
        process.loading = models
        process.taken.update({model: taken[model] for model in models})
        event: StepEvent = ModelsLoaded(process.group.id, models)
        if self.random.random() < self.moods.load_fails:
            event = ModelsNotLoaded(process.group.id, models, "it did not load")
        self.happen(self._later_s(), event, process)

    def _unload(self, process: Process, models: tuple[str, ...]) -> None:
        assert not process.loading and models and process.open.isdisjoint(models)
        for model in models:
            assert model not in process.closed_s or self._is_done(process, model), model
            process.resident.remove(model)
            process.closed_s.pop(model, None)
            process.idle.discard(model)
        self.happen(self._later_s(), ModelsUnloaded(process.group.id, models), process)

    def _running(self, group_id: str) -> Process:
        process = self.processes[group_id]
        assert process.is_running, group_id
        return process

    def _is_done(self, process: Process, model: str) -> bool:
        return model in process.idle or process.closed_s[model] + DRAIN_TIMEOUT_S <= self.now_s

    def _later_s(self) -> float:
        return self.now_s + self.random.choice([0.0, 0.5, 1.0]) * self.random.random() * self.moods.most_s
