"""Calls that are answered token by token: the live shells on a virtual clock against the simulator."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from controller.calls import Refusal
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.token_streams import Ended, GenerateCall
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from simulator.simulate import simulate
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.outcomes import FATES
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.sampling import Sampling
from vocabulary.trace import Tenants, Tokens, Trace
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

SETTINGS = GenerationSettings(
    num_pages=24, page_tokens=4, max_batched_tokens=16, max_sequences=6, has_prefix_cache=False
)
ALL_OF_IT = Sampling(ignores_eos=True)


def fleet(random: np.random.Generator, *, policy: Policy) -> tuple[Deployment, Placement]:
    """Two models that generate, on two groups of one or two stages."""
    configs = [ParallelConfig(1, int(stages)) for stages in random.integers(1, 3, size=2)]
    models = []
    for name in ("a", "b"):
        entries = [
            ProfileEntry(
                config,
                (1,) * config.pipeline,
                {},
                {1: tuple(random.uniform(0.02, 0.2, size=config.pipeline))},
                step_times=tuple(
                    StepTimes(*random.uniform(0.001, 0.01, size=3)) for _ in range(config.pipeline)
                ),
            )
            for config in set(configs)
        ]
        profile = profile_of(name, "cpu", entries, provenance=Provenance("imported"))
        slo = Slo(random.uniform(1, 4), ttft_s=random.uniform(0.2, 1), tpot_s=random.uniform(0.05, 0.2))
        models.append(ModelSpec(name, profile=profile, slo=slo, engine="emulated", generation=SETTINGS))
    devices = iter(f"n-0:{index}" for index in range(16))
    groups = tuple(
        Group(f"g{index}", tuple(next(devices) for _ in range(config.num_devices)), config, ("a", "b"))
        for index, config in enumerate(configs)
    )
    cluster = Cluster((NodeClass("n", 1, "cpu", 16, 100),))
    return Deployment("virtual", cluster, tuple(models), policy=policy), Placement(groups)


def arrivals(random: np.random.Generator, *, num: int = 80) -> Trace:
    tokens = Tokens(
        random.integers(1, 40, size=num).astype(np.int32), random.integers(1, 12, size=num).astype(np.int32)
    )
    times_s = np.cumsum(random.gamma(1 / 4, 4 * 0.1, size=num))
    model_index = random.integers(0, 2, size=num).astype(np.int32)
    tenants = Tenants(random.integers(0, 3, size=num).astype(np.int32), ("x", "y", "z"))
    return Trace(times_s, model_index, ("a", "b"), tokens, tenants)


class Answered:
    """What one call was given: when the first token came, when it ended, how."""

    def __init__(self) -> None:
        self.first_token_s = np.nan
        self.tokens: list[int] = []
        self.end: tuple[str, str, float] = ("", "", 0.0)


def serve(deployment: Deployment, placement: Placement, trace: Trace) -> list[Answered]:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_serve(loop, deployment, placement, trace))
    finally:
        loop.close()


async def _serve(
    loop: VirtualLoop, deployment: Deployment, placement: Placement, trace: Trace
) -> list[Answered]:
    catalog, policy = deployment.catalog(), deployment.policy
    limits = [generation_limits(group, deployment) for group in placement.groups]
    front = FleetServer(
        deployment,
        placement,
        ClusterScheduler(placement, catalog=catalog, policy=policy, limits=limits),
        clock=loop.time,
        soon=loop.soon(0),
        metrics=FleetMetrics(deployment.model_names),
    )
    for index, group in enumerate(placement.groups):
        engine = EmulatedEngine(group, catalog=catalog, loop=loop, limits=limits[index])
        machine = GroupScheduler(
            group, catalog=catalog, policy=policy, limits=limits[index], tells_pages=True
        )
        pages = {model: one.page_tokens for model, one in limits[index].items()}
        worker = GroupServer(machine, engine, loop=loop, soon=loop.soon(1 + index), page_tokens=pages)
        down, up = memory_pair(lambda frame, index=index: front.receive(index, frame), worker.receive)
        worker.attach(up)
        front.open_group(index, down, engine.interfaces())
    answered = [Answered() for _ in range(len(trace))]
    readers = []
    arrived = loop.create_future()
    assert trace.tokens is not None and trace.tenants is not None
    tenants = [trace.tenants.names[index] for index in trace.tenants.index]
    lengths = list(zip(trace.tokens.input_tokens.tolist(), trace.tokens.output_tokens.tolist(), strict=True))

    def arrive(rows: list[int]) -> None:
        for row in rows:
            num_input, num_output = lengths[row]
            model = trace.models[trace.model_index[row]]
            call = GenerateCall(
                str(row), model, (7,) * num_input, num_output, sampling=ALL_OF_IT, tenant=tenants[row]
            )
            readers.append(loop.create_task(_read(loop, front.generate(call), answered[row])))
        if rows[-1] == len(trace) - 1:
            arrived.set_result(None)

    for time_s, rows in groupby(range(len(trace)), key=lambda row: float(trace.arrival_s[row])):
        loop.call_at(time_s, arrive, list(rows))
    await arrived
    for reader in readers:
        await reader
    assert front.num_pending == 0
    assert all(front.in_flight_of(index) == 0 for index in range(len(placement.groups)))
    return answered


async def _read(loop: VirtualLoop, stream, into: Answered) -> None:
    async for news in stream:
        match news:
            case Refusal(reason):
                into.end = (reason.value, "", 0.0)
            case Ended(_, group):
                into.end = ("served", group, loop.time())
            case tokens:
                if not into.tokens:
                    into.first_token_s = loop.time()
                into.tokens += [one.token for one in tokens]


@pytest.mark.parametrize("seed", range(16))
def test_answers_come_as_simulated(seed: int) -> None:
    random = np.random.default_rng(seed)
    policy = Policy(
        router=("shortest_expected_delay", "least_loaded")[seed % 2],
        queue=("fcfs", "edf", "vtc", "vtc")[seed // 2 % 4],
        admission=("none", "slo")[seed // 8 % 2],
        fairness=Fairness(weights={"x": 2.0}, cost=("linear", "measured")[seed // 2 % 2]),
    )
    deployment, placement = fleet(random, policy=policy)
    trace = arrivals(random)
    outcomes = simulate(placement, trace, deployment=deployment)
    served = serve(deployment, placement, trace)
    assert trace.tokens is not None and outcomes.first_token_s is not None
    for row, answer in enumerate(served):
        fate = FATES[outcomes.fate[row]].value
        # Requests that no group could ever hold are refused as a wrong tensor is.
        assert answer.end[0] == {"invalid": "invalid_tensor"}.get(fate, fate), row
        if fate == "served":
            group = placement.groups[outcomes.group_index[row]].id
            assert answer.end[1:] == (group, float(outcomes.finish_s[row])), row
            assert answer.first_token_s == float(outcomes.first_token_s[row])
            assert answer.tokens == [7] * int(trace.tokens.output_tokens[row])
