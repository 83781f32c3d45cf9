"""One group of one generating model in this process: measured, served with the real engine, simulated."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import jax
import numpy as np
from numpy.typing import NDArray

from controller.life.fleet_specs import worker_specs
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.token_streams import Ended, GenerateCall
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from simulator.generation.step_times import StepTimesFit, fit_step_times
from simulator.simulate import simulate
from statmux.token_calls import prompts_of
from vocabulary.deployment import Deployment, Workload
from vocabulary.formats.disk import load_deployment, write_profile
from vocabulary.generation import StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.sampling import Sampling
from vocabulary.trace import Trace
from workers.generation.model import GeneratingModel
from workers.generation.opening import open_generating_model
from workers.generation.step_clock import TimedEngine
from workers.generation.step_samples import typical_steps
from workers.generation.step_traffic import drawn_crowds
from workers.jax_engine import JaxEngine
from workers.link import memory_pair
from workers.server import GroupServer

MODEL = "chat"
ONE = ParallelConfig()
PLACEMENT = Placement((Group("g", ("n-0:0",), ONE, (MODEL,)),))
# Until it is measured: decides nothing where nobody is refused.
_BELIEVED = StepTimes(0.01, 0.0001)
_GREEDY = Sampling(temperature=0.0, ignores_eos=True)


@dataclass(frozen=True, slots=True)
class Paces:
    """Seconds to the first token, and of each after it [requests]; NaN where the request was refused."""

    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """Compiled for its limits. file: of its deployment, whose profile lies beside it."""

    file: Path
    model: GeneratingModel

    def deployment(self, *overrides: str) -> Deployment:
        return load_deployment(self.file, overrides=overrides)


def ready_model(folder: Path, name: str, model_yaml: str) -> ReadyModel:
    """Compile. model_yaml: keys of the model, in YAML's flow style, without braces. Blocks."""
    file = folder / f"{name}.yaml"
    file.write_text(
        "metadata: {name: twin}\n"
        "cluster: {nodes: [{name: n, count: 1, devices: {type: cpu, count: 1, memory: 8GiB}}]}\n"
        f"models: [{{name: {MODEL}, task: generate, profile: {name}.json, {model_yaml}}}]\n"
        "serving: {policy: {admission: none}}\n"
    )
    (spec,) = load_deployment(file, needs_profiles=False).models
    assert spec.source is not None and spec.generation.num_pages is not None, spec
    opened = open_generating_model(
        spec.source,
        config=ONE,
        devices=jax.devices()[:1],
        limits=spec.generation.limits(spec.generation.num_pages),
        base_dir=folder,
        max_model_len=spec.max_model_len,
    )
    model = opened.model(opened.read())
    model.compile()
    ready = ReadyModel(file, model)
    _write_profile(ready, _BELIEVED)
    return ready


async def fitted(ready: ReadyModel, *, num_rounds: int) -> StepTimesFit:
    """Serve drawn crowds, fit their steps, and write that to the model's profile.

    As `statmux profile` does, but with the front end on the loop, where it is when requests are served here.
    """
    fleet = LiveFleet(ready, ready.deployment())
    random = np.random.default_rng(0)
    (spec,) = ready.deployment().models
    crowds = drawn_crowds(
        ready.model.limits,
        spec.workload or Workload(0.0),
        max_model_len=ready.model.max_model_len,
        seed=0,
    )
    rounds = []
    try:
        for _ in range(1 + num_rounds):
            fleet.engine.steps = []
            for crowd in crowds:
                # Nobody's prompt is in the cache of prefixes, and all are put there, as in service.
                prompts = [tuple(random.integers(0, 250, size=one.num_prompt).tolist()) for one in crowd]
                answers = [one.num_answer for one in crowd]
                await asyncio.gather(*map(fleet.answer, prompts, answers))
            rounds.append(fleet.engine.steps)
    finally:
        fleet.close()
    samples = typical_steps(rounds[1:])
    columns = np.array([(one.num_tokens, one.num_kv_tokens, one.stages_s[0]) for one in samples])
    fit = fit_step_times(*columns.T)
    _write_profile(ready, fit.times)
    return fit


def _write_profile(ready: ReadyModel, times: StepTimes) -> None:
    model = ready.model
    entry = ProfileEntry(
        ONE,
        model.weight_bytes_per_stage,
        {1: (0,)},
        {1: (0.1,)},
        step_times=(times,),
        kv_bytes_per_token=model.kv_bytes_per_token,
    )
    profile = profile_of(MODEL, "cpu", [entry], provenance=Provenance("measured"))
    write_profile(ready.file.with_suffix(".json"), profile)


@final
class LiveFleet:
    """Front, group and engine on the loop that runs. `close` when done; the model stays ready."""

    def __init__(self, ready: ReadyModel, deployment: Deployment) -> None:
        loop = asyncio.get_running_loop()
        (spec,) = worker_specs(deployment, PLACEMENT, key="")
        jax_engine = JaxEngine(spec, loop=loop)
        jax_engine.take({MODEL: ready.model})
        self.engine = TimedEngine(jax_engine, num_stages=1, loop=loop)
        machine = GroupScheduler(
            spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
        )
        page_tokens = {MODEL: spec.limits[MODEL].page_tokens}
        worker = GroupServer(machine, self.engine, loop=loop, soon=loop.call_soon, page_tokens=page_tokens)
        self.front = FleetServer(
            deployment,
            PLACEMENT,
            ClusterScheduler(PLACEMENT, catalog=spec.catalog, policy=spec.policy, limits=[spec.limits]),
            clock=loop.time,
            soon=loop.call_soon,
            metrics=FleetMetrics(deployment.model_names),
        )
        down, up = memory_pair(lambda frame: self.front.receive(0, frame), worker.receive)
        worker.attach(up)
        self.front.open_group(0, down, self.engine.interfaces())

    async def answer(
        self, prompt: tuple[int, ...], num_tokens: int, *, tenant: str = ""
    ) -> tuple[float, float] | None:
        """When its first and its last token came, on the loop's clock; None for a call that was refused."""
        loop = asyncio.get_running_loop()
        call = GenerateCall("r", MODEL, prompt, num_tokens, sampling=_GREEDY, tenant=tenant)
        first_s, last_s, end = np.nan, np.nan, None
        async for end in self.front.generate(call):
            if isinstance(end, tuple):
                last_s = loop.time()
                first_s = last_s if first_s != first_s else first_s
        return (first_s, last_s) if isinstance(end, Ended) else None

    def close(self) -> None:
        self.engine.close()


async def served(ready: ReadyModel, deployment: Deployment, trace: Trace) -> Paces:
    """Every request at its time, whatever became of those before."""
    fleet = LiveFleet(ready, deployment)
    try:
        gc.collect()
        gc.freeze()
        return await _replayed(fleet, trace)
    finally:
        gc.unfreeze()
        fleet.close()


def simulated(deployment: Deployment, trace: Trace) -> Paces:
    found = simulate(PLACEMENT, trace, deployment=deployment)
    tokens = trace.tokens
    assert tokens is not None and found.first_token_s is not None
    ttft_s = np.where(found.served, found.first_token_s - trace.arrival_s, np.nan)
    tpot_s = (found.finish_s - found.first_token_s) / np.maximum(tokens.output_tokens - 1, 1)
    return Paces(ttft_s, np.where(found.served, tpot_s, np.nan))


async def _replayed(fleet: LiveFleet, trace: Trace) -> Paces:
    assert trace.tokens is not None and trace.tenants is not None
    prompts = [tuple(one.tolist()) for one in prompts_of(trace.tokens)]
    lengths = trace.tokens.output_tokens.tolist()
    tenants = [trace.tenants.names[index] for index in trace.tenants.index]
    begin_s = asyncio.get_running_loop().time() + 0.05

    async def answer(row: int, due_s: float) -> tuple[float, float]:
        await asyncio.sleep(max(0.0, begin_s + due_s - asyncio.get_running_loop().time()))
        told = await fleet.answer(prompts[row], lengths[row], tenant=tenants[row])
        if told is None:
            return np.nan, np.nan
        return told[0] - begin_s - due_s, (told[1] - told[0]) / max(lengths[row] - 1, 1)

    rows: Sequence[tuple[float, float]] = await asyncio.gather(
        *(answer(row, due_s) for row, due_s in enumerate(trace.arrival_s.tolist()))
    )
    return Paces(*np.array(rows).T)
