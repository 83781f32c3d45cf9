"""What one dispatcher holds and does at some size, what heartbeats cost, and how long plans take."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.scale_fleet import MODELS_PER_GROUP, fleet_of, placement_of
from controller.change.residency import without_model
from controller.front.heard import group_heard
from placement.search import search
from scheduling.changes.residency import DeploymentMemory
from scheduling.cluster import ClusterScheduler
from scheduling.reconcile import Reconciler
from simulator.traffic.workload import generate
from vocabulary.deployment import Deployment
from vocabulary.messages import Arrived, Forward, GroupOpened, Settled
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    DevicesChanged,
    GroupStarted,
    ModelsUnloaded,
    OpenReplica,
    ReplicaIdle,
    RestartPolicy,
    StartGroups,
    Step,
    StepEvent,
    UnloadModels,
)
from workers.frames import Beat, FrameReader, ReplicaBeat, encode_frame

_NUM_DECISIONS = 20_000
_NUM_BEATS = 5_000


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """One scheduler: its bytes, and requests that it decides of and hears settled, a second of processor."""

    num_groups: int
    num_models: int
    num_replicas: int
    state_bytes: int
    bytes_per_replica: float
    bytes_in_flight: float
    decisions_per_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Of a group with MODELS_PER_GROUP models: a frame's bytes, and the processor's time to hear one."""

    frame_bytes: int
    heard_s: float


@dataclass(frozen=True, slots=True)
class Search:
    num_devices: int
    num_models: int
    algorithm: str
    seconds: float
    again_s: float


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Deciding of all groups at once at the start, and of a model that leaves all of its groups."""

    num_groups: int
    start_s: float
    change_s: float
    num_steps: int


def dispatcher(num_hosts: int, num_models: int, routers: Sequence[str]) -> Dispatcher:
    deployment = fleet_of(num_hosts, num_models, rate_rps=1.0)
    placement = placement_of(deployment)
    gc.collect()
    tracemalloc.start()
    machine = _machine(deployment, placement, routers[0])
    state_bytes = tracemalloc.get_traced_memory()[0]
    _forward(machine, deployment, range(10_000))
    bytes_in_flight = (tracemalloc.get_traced_memory()[0] - state_bytes) / 10_000
    tracemalloc.stop()
    return Dispatcher(
        len(placement.groups),
        num_models,
        placement.num_replicas,
        state_bytes,
        state_bytes / placement.num_replicas,
        bytes_in_flight,
        {router: _rate(deployment, placement, router) for router in routers},
    )


def _machine(deployment: Deployment, placement: Placement, router: str) -> ClusterScheduler:
    policy = fleet_of(1, 1, rate_rps=1.0, router=router).policy
    machine = ClusterScheduler(placement, catalog=deployment.catalog(), policy=policy)
    for index in range(len(placement.groups)):
        machine.observe(GroupOpened(index))
    return machine


def _forward(machine: ClusterScheduler, deployment: Deployment, ids: range) -> list[int]:
    """Requests that are all in flight afterwards."""
    taken = []
    for request_id in ids:
        model = deployment.models[request_id % len(deployment.models)].name
        machine.observe(Arrived(Request(request_id, model, 0.0)))
        taken += [one.request.id for one in machine.decide(0.0) if isinstance(one, Forward)]
    return taken


def _rate(deployment: Deployment, placement: Placement, router: str) -> float:
    """With as many requests in flight as there are groups."""
    machine, now_s = _machine(deployment, placement, router), 0.0
    waiting = deque(_forward(machine, deployment, range(len(placement.groups))))
    names = [model.name for model in deployment.models]
    start_s = time.process_time()
    for request_id in range(len(waiting), len(waiting) + _NUM_DECISIONS):
        now_s += 1e-5
        machine.observe(Arrived(Request(request_id, names[request_id % len(names)], now_s)))
        machine.decide(now_s)
        waiting.append(request_id)
        machine.observe(Settled(waiting.popleft(), Fate.SERVED, now_s))
        machine.decide(now_s)
    return _NUM_DECISIONS / (time.process_time() - start_s)


def heartbeat() -> Heartbeat:
    replicas = tuple(ReplicaBeat(f"model-{index}", index % 3) for index in range(MODELS_PER_GROUP))
    beat = Beat(12, 8, 0, tuple(1000.0 + stage for stage in range(8)), (), replicas, 0.12345)
    frame = b"".join(encode_frame(beat))
    deployment = fleet_of(100, 50, rate_rps=1.0)
    placement = placement_of(deployment)
    machine, reader = _machine(deployment, placement, "power_of_two"), FrameReader()
    start_s = time.process_time()
    for index in range(_NUM_BEATS):
        for heard in reader.feed(frame):
            machine.observe(group_heard(index % 100, heard.header, at_s=float(index)))
        machine.decide(float(index))
    return Heartbeat(len(frame), (time.process_time() - start_s) / _NUM_BEATS)


def searched(num_hosts: int, num_models: int, algorithm: str, *, rate_per_device_rps: float) -> Search:
    """Twice: from nothing, and from the placement found, as a re-planning goes on from what runs."""
    num_devices = 8 * num_hosts
    deployment = fleet_of(num_hosts, num_models, rate_rps=rate_per_device_rps * num_devices)
    duration_s = max(20.0, 10_000 / (rate_per_device_rps * num_devices))
    workloads = {model.name: model.workload for model in deployment.models if model.workload is not None}
    trace = generate(workloads, duration_s=duration_s, seed=0)
    found, seconds = _timed(lambda: search(deployment, trace, algorithm=algorithm))
    _, again_s = _timed(lambda: search(deployment, trace, algorithm=algorithm, start=found.placement))
    return Search(num_devices, num_models, algorithm, seconds, again_s)


def reconciled(num_hosts: int, num_models: int) -> Reconciled:
    deployment = fleet_of(num_hosts, num_models, rate_rps=1.0)
    placement = placement_of(deployment)
    machine = Reconciler(RestartPolicy(), memory=DeploymentMemory(lambda: deployment))
    machine.observe(DevicesChanged(frozenset(device.id for device in deployment.cluster.devices)))
    _, start_s = _timed(lambda: _converge(machine, placement))
    num_steps, change_s = _timed(lambda: _converge(machine, without_model(placement, "m0")))
    return Reconciled(len(placement.groups), start_s, change_s, num_steps)


def _converge(machine: Reconciler, placement: Placement) -> int:
    """Every step is done at once; how many there were."""
    machine.observe(Desired(placement))
    num_steps, now_s = 0, 0.0
    while True:
        now_s += 1.0
        steps = machine.decide(now_s)
        num_steps += len(steps)
        for step in steps:
            for event in _done(step):
                machine.observe(event)
        if any(isinstance(step, Converged) for step in steps):
            return num_steps
        assert steps, "it waits for something that does not come"


def _done(step: Step) -> list[StepEvent]:
    match step:
        case StartGroups(groups):
            return [GroupStarted(group) for group in groups]
        case CloseReplica(group_id, model):
            return [ReplicaIdle(group_id, model)]
        case UnloadModels(group_id, models):
            return [ModelsUnloaded(group_id, models)]
        case OpenReplica() | Converged():
            return []
        case _:
            raise AssertionError(step)


def _timed(call: Callable) -> tuple:
    start_s = time.process_time()
    found = call()
    return found, time.process_time() - start_s


def power_law(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """(factor, exponent) of seconds = factor * size ** exponent, by least squares of logarithms."""
    exponent, logarithm = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(np.exp(logarithm)), float(exponent)
