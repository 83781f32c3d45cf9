"""The live shells on a virtual clock give the simulator's outcomes, request for request."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from controller.calls import InferCall, InferReply
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from simulator.simulate import simulate
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.outcomes import FATES
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tensors import Tensor
from vocabulary.trace import Trace
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

ROUTERS = ("round_robin", "least_loaded", "min_stage_clock", "shortest_expected_delay", "power_of_two")
QUEUES = ("fcfs", "edf")
ADMISSIONS = ("none", "slo")
BATCHINGS = ("none", "deadline")
INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x01\x00\x00\x00"),)


def policies() -> list[Policy]:
    choices = product(ROUTERS, QUEUES, ADMISSIONS, BATCHINGS)
    return [Policy(router=r, queue=q, admission=a, batching=b, max_batch_size=4) for r, q, a, b in choices]


def fleet(random: np.random.Generator, *, grid_s: float, policy: Policy) -> tuple[Deployment, Placement]:
    """Three models on two or three groups of one to three stages; times on a grid (0: any)."""

    def seconds(low: float, high: float) -> float:
        value = random.uniform(low, high)
        return max(round(value / grid_s), 1) * grid_s if grid_s else value

    configs = [ParallelConfig(1, int(stages)) for stages in random.integers(1, 4, size=random.integers(2, 4))]
    models = []
    for name in ("a", "b", "c"):
        entries = []
        for config in set(configs):
            one = tuple(seconds(0.02, 0.2) for _ in range(config.pipeline))
            latency_s = {size: tuple(stage * (0.5 + 0.5 * size) for stage in one) for size in (1, 2, 4)}
            entries.append(ProfileEntry(config, (1,) * config.pipeline, {}, latency_s))
        profile = profile_of(name, "cpu", entries, provenance=Provenance("imported"))
        models.append(ModelSpec(name, profile=profile, slo=Slo(seconds(0.3, 1.2)), engine="emulated"))
    devices = iter(f"n-0:{index}" for index in range(16))
    groups = tuple(
        Group(
            f"g{index}",
            tuple(next(devices) for _ in range(config.num_devices)),
            config,
            tuple(model.name for model in models if index == 0 or random.random() < 0.7),
        )
        for index, config in enumerate(configs)
    )
    cluster = Cluster((NodeClass("n", 1, "cpu", 16, 100),))
    return Deployment("virtual", cluster, tuple(models), policy=policy), Placement(groups)


def arrivals(random: np.random.Generator, models: tuple[str, ...], *, grid_s: float, num: int = 300) -> Trace:
    times_s = np.cumsum(random.gamma(1 / 9, 9 * 0.05, size=num))
    if grid_s:
        times_s = np.floor(times_s / grid_s) * grid_s
    return Trace(times_s, random.integers(0, len(models), size=num).astype(np.int32), models)


def serve(deployment: Deployment, placement: Placement, trace: Trace) -> list[tuple[str, str, float]]:
    """Fate, group and finish of each request, from the live shells joined by memory links."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_serve(loop, deployment, placement, trace))
    finally:
        loop.close()


async def _serve(
    loop: VirtualLoop, deployment: Deployment, placement: Placement, trace: Trace
) -> list[tuple[str, str, float]]:
    catalog, policy = deployment.catalog(), deployment.policy
    front = FleetServer(
        deployment,
        placement,
        ClusterScheduler(placement, catalog=catalog, policy=policy),
        clock=loop.time,
        soon=loop.soon(0),
        metrics=FleetMetrics(deployment.model_names),
    )
    for index, group in enumerate(placement.groups):
        engine = EmulatedEngine(group, catalog=catalog, loop=loop)
        machine = GroupScheduler(group, catalog=catalog, policy=policy)
        worker = GroupServer(machine, engine, loop=loop, soon=loop.soon(1 + index))
        down, up = memory_pair(lambda frame, index=index: front.receive(index, frame), worker.receive)
        worker.attach(up)
        front.open_group(index, down, engine.interfaces())
    answers: list[tuple[str, str, float] | None] = [None] * len(trace)
    finished = loop.create_future()
    left = len(trace)

    def arrive(rows: list[int]) -> None:
        for row in rows:
            call = InferCall(str(row), trace.models[trace.model_index[row]], "", INPUT)
            front.infer(call).add_done_callback(lambda future, row=row: answered(row, future.result()))

    def answered(index: int, answer: object) -> None:
        nonlocal left
        if isinstance(answer, InferReply):
            answers[index] = ("served", answer.group, loop.time())
        else:
            answers[index] = (answer.reason.value, "", 0.0)
        left -= 1
        if left == 0:
            finished.set_result(None)

    # One timer an instant: asyncio does not keep the order of timers of the same time, and ids follow it.
    for time_s, rows in groupby(range(len(trace)), key=lambda row: float(trace.arrival_s[row])):
        loop.call_at(time_s, arrive, list(rows))
    await finished
    assert front.num_pending == 0
    assert all(front.in_flight_of(index) == 0 for index in range(len(placement.groups)))
    return [answer for answer in answers if answer is not None]


def simulated(deployment: Deployment, placement: Placement, trace: Trace) -> list[tuple[str, str, float]]:
    outcomes = simulate(placement, trace, deployment=deployment)
    rows = []
    for row, code in enumerate(outcomes.fate):
        fate = FATES[code].value
        if fate == "served":
            rows.append((fate, placement.groups[outcomes.group_index[row]].id, float(outcomes.finish_s[row])))
        else:
            rows.append((fate, "", 0.0))
    return rows


@pytest.mark.parametrize("seed", range(60))
def test_random_arrivals_are_served_as_simulated(seed: int) -> None:
    check(seed, grid_s=0.0)


@pytest.mark.parametrize("seed", range(100, 109))
def test_tied_times_are_served_as_simulated(seed: int) -> None:
    check(seed, grid_s=0.05)


def check(seed: int, *, grid_s: float) -> None:
    random = np.random.default_rng(seed)
    policy = policies()[seed % len(policies())]
    deployment, placement = fleet(random, grid_s=grid_s, policy=policy)
    trace = arrivals(random, deployment.model_names, grid_s=grid_s)
    expected = simulated(deployment, placement, trace)
    assert serve(deployment, placement, trace) == expected
